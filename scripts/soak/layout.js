'use strict';

/* What the primary and the workers of the soak agree on. */

/** Elements of the shared array: what a limiter allowed, and jobs that were to run once a second. */
module.exports.ALLOWED = 0;
module.exports.RAN = 1;

module.exports.PERMITS = 2;
/** Keys of the limiter, and what each may consume. */
module.exports.KEYS = 50;
module.exports.LIMIT = { limit: 100, windowMs: 60_000 };
