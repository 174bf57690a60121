'use strict';

/** Exports of shared data structures. */

const { list, prune, stats, unlink } = require('./segments');

module.exports.Channel = require('./channel').Channel;
module.exports.RateLimiter = require('./limiter').RateLimiter;
module.exports.SharedArray = require('./array').SharedArray;
module.exports.SharedBuffer = require('./buffer').SharedBuffer;
module.exports.SharedCounter = require('./counter').SharedCounter;
module.exports.SharedHistogram = require('./histogram').SharedHistogram;
module.exports.SharedMap = require('./map').SharedMap;
module.exports.Topic = require('./topic').Topic;
module.exports.shared = { list, prune, stats, unlink };
