'use strict';

/* The worker of synckit's calls. */

const { runAsWorker } = require('synckit');

runAsWorker(async (/** @type {any} */ value) => value);
