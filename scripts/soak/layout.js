'use strict';

/* Conventions between the primary and the workers of the soak test. */

/** Elements of the shared array: number of operations allowed by a limiter, and number of jobs run once per second. */
module.exports.ALLOWED = 0;
module.exports.RAN = 1;

module.exports.PERMITS = 2;
/** Keys of the limiter, and the limit of each. */
module.exports.KEYS = 50;
module.exports.LIMIT = { limit: 100, windowMs: 60_000 };
