'use strict';

/* Reports that it has started, after loading a large module, as the worker of a real program may. */

const { parentPort } = require('node:worker_threads');
const { Linter } = require('eslint');

parentPort.postMessage(Linter.version);
