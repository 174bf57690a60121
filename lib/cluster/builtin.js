'use strict';

/**
 * Node's own cluster object. Untyped: what it consists of depends on the process, and we use what its types
 * leave out.
 * @type {any}
 */
const builtin = require('node:cluster');

module.exports = builtin;
