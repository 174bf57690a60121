'use strict';

/* Reports that it has started, then echoes messages. */

const { parentPort } = require('node:worker_threads');

parentPort.on('message', (message) => parentPort.postMessage(message));
parentPort.postMessage(0);
