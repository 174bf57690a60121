'use strict';

/* Says that it is there, once it has loaded as much code as the worker of a real program may. */

const { parentPort } = require('node:worker_threads');
const { Linter } = require('eslint');

parentPort.postMessage(Linter.version);
