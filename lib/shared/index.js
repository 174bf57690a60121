'use strict';

/** Data in memory that threads and processes share: wiring only. */

module.exports.SharedBuffer = require('./buffer').SharedBuffer;
module.exports.SharedMap = require('./map').SharedMap;
module.exports.shared = require('./segments');
