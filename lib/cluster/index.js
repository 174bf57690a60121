'use strict';

module.exports = require('node:cluster');
