'use strict';

/* Worker for synckit's calls. */

const { runAsWorker } = require('synckit');

runAsWorker(async (/** @type {any} */ value) => value);
