'use strict';

/* A worker under test: terminated after the test, with its messages in order. */

const { Worker } = require('../../lib/threads');

/** For `test(name, WATCHDOG, ...)`: far more than any test takes, even on a loaded machine. */
const WATCHDOG = { timeout: 120_000 };

/**
 * Starts a worker that runs `body`.
 * @param {import('node:test').TestContext} t
 * @param {string | (() => void)} body source, or a function whose body is the source
 * @param {import('node:worker_threads').WorkerOptions} [options]
 */
function start(t, body, options) {
  const source = typeof body === 'string' ? body : `(${body})()`;
  const worker = new Worker(source, { eval: true, ...options });
  t.after(() => worker.terminate());
  return worker;
}

/**
 * Returns the next `count` messages.
 * @param {import('node:worker_threads').Worker} worker
 * @param {number} count
 * @returns {Promise<any[]>}
 */
function messages(worker, count) {
  return new Promise((resolve, reject) => {
    /** @type {any[]} */
    const received = [];
    worker.on('error', reject);
    worker.on('exit', (code) =>
      reject(new Error(`exit ${code} after ${received.length} of ${count} messages`)),
    );
    worker.on('message', function collect(message) {
      received.push(message);
      if (received.length < count) return;
      worker.off('message', collect);
      worker.off('error', reject);
      resolve(received);
    });
  });
}

/**
 * Returns all messages until the worker has exited, and the exit code.
 * @param {import('node:worker_threads').Worker} worker
 */
async function untilExit(worker) {
  /** @type {any[]} */
  const received = [];
  worker.on('message', (message) => received.push(message));
  const code = await new Promise((resolve) => worker.once('exit', resolve));
  return { received, code };
}

module.exports.WATCHDOG = WATCHDOG;
module.exports.start = start;
module.exports.messages = messages;
module.exports.untilExit = untilExit;
