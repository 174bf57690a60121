'use strict';

/** Thrown for a value that only the platform's own channel may carry, or refuse. */
const UNSUPPORTED = Object.freeze({ unsupported: true });

module.exports.UNSUPPORTED = UNSUPPORTED;
