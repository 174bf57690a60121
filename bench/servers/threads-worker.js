'use strict';

/* Says that it is there, then answers. */

const { parentPort } = require('node:worker_threads');

parentPort.on('message', (message) => parentPort.postMessage(message));
parentPort.postMessage(0);
