'use strict';

/* Records everything a program can observe of a worker from start to end, in a comparable form. */

/**
 * @param {() => import('node:worker_threads').Worker} make
 * @param {(worker: any) => void} [use]
 */
function observe(make, use = () => {}) {
  return new Promise((resolve) => {
    /** @type {any} */
    const seen = { messages: [], errors: [], stdout: '', stderr: '', isOnline: false };
    let worker;
    try {
      worker = make();
    } catch (error) {
      return resolve({ thrown: plain(error) });
    }
    worker.stdout.on('data', (data) => (seen.stdout += data));
    worker.stderr.on('data', (data) => (seen.stderr += data));
    worker.on('online', () => (seen.isOnline = true));
    worker.on('message', (message) => seen.messages.push(message));
    worker.on('error', (error) => seen.errors.push(plain(error)));
    worker.on('exit', (code) => {
      // Streams end in a later tick.
      setImmediate(() =>
        resolve({ ...seen, code, threadId: worker.threadId, limits: worker.resourceLimits }),
      );
    });
    use(worker);
  });
}

/** @param {any} error */
function plain(error) {
  const { name, message, code, stack } = error;
  return { name, message, code, stack, isError: error instanceof Error };
}

module.exports.observe = observe;
module.exports.plain = plain;
