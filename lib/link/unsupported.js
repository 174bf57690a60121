'use strict';

/** Thrown for a value that must be left to the platform's own channel, which carries or rejects it. */
const UNSUPPORTED = Object.freeze({ unsupported: true });

module.exports.UNSUPPORTED = UNSUPPORTED;
