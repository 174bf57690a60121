'use strict';

/**
 * Node's own cluster object. Untyped, since its members depend on the process, and some of those used here are
 * undocumented.
 * @type {any}
 */
const builtin = require('node:cluster');

module.exports = builtin;
