'use strict';

/* An application of fixtures/clients served by several workers, and HTTP requests to it. */

const assert = require('node:assert/strict');
const http = require('node:http');
const https = require('node:https');
const path = require('node:path');
const { buffer } = require('node:stream/consumers');
const { once } = require('node:events');

const { Program, WATCHDOG_MS } = require('./program');

const SERVE = path.join(__dirname, '..', 'fixtures', 'clients', 'serve.js');
const WORKERS = 4;

/** One policy of each kind: workers share the listening socket, or the primary hands connections over. */
const POLICIES = ['none', 'rr'];

/**
 * Starts an application and waits until all its workers listen.
 * @param {import('node:test').TestContext} t
 * @param {string} application
 * @param {{ policy?: string, settings?: object, env?: Record<string, string> }} [options]
 */
async function serve(t, application, { policy = '', settings, env } = {}) {
  const args = [SERVE, application, String(WORKERS), policy, settings ? JSON.stringify(settings) : ''];
  const program = new Program(args, { env, ipc: true });
  t.after(() => program.kill());
  const { port, workers } = await program.message();
  assert.equal(new Set(workers).size, WORKERS);
  return { program, port, workers };
}

/**
 * Stops an application whose clients have disconnected: it must exit by itself, cleanly, leaving nothing behind.
 * @param {Program} program
 */
async function stop(program) {
  program.process.send('stop');
  assert.deepEqual(
    { ...(await program.ended()), stderr: program.stderr },
    { code: 0, signal: null, stderr: '' },
  );
  assert.equal(program.leftBehind, false);
}

/**
 * Sends an HTTP request, on a new connection unless an agent is given.
 * @param {number} port
 * @param {string} [url]
 * @param {https.RequestOptions & { body?: string | Buffer, json?: unknown }} [options] with `ca` over TLS
 */
async function request(port, url = '/', { body, json, ...options } = {}) {
  const { request: open } = options.ca ? https : http;
  const headers = { ...options.headers, ...(json !== undefined && { 'content-type': 'application/json' }) };
  const all = { host: '127.0.0.1', port, path: url, agent: false, timeout: WATCHDOG_MS, ...options, headers };
  const sent = open(all);
  sent.on('timeout', () => sent.destroy(new Error(`No answer to ${url}`)));
  sent.end(json === undefined ? body : JSON.stringify(json));
  const [response] = await once(sent, 'response');
  const data = await buffer(response);
  return {
    status: response.statusCode,
    headers: response.headers,
    worker: Number(response.headers['x-worker']),
    body: data,
    text: data.toString(),
  };
}

/**
 * Repeats an action, with limited concurrency.
 * @template T
 * @param {number} times
 * @param {number} atOnce
 * @param {(index: number) => Promise<T>} act
 * @returns {Promise<T[]>} the results, in order; rejects with the first failure
 */
async function repeat(times, atOnce, act) {
  /** @type {T[]} */
  const results = new Array(times);
  let next = 0;
  const lane = async () => {
    for (let index; (index = next++) < times;) results[index] = await act(index);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return results;
}

/**
 * Repeats an action a number of times, and then until each worker has been involved: with a shared socket, there is
 * no guarantee how soon that is.
 * @template {{ worker: number }} T
 * @param {number[]} workers
 * @param {number} times minimum number of repetitions
 * @param {number} atOnce
 * @param {(index: number) => Promise<T>} act
 * @returns {Promise<T[]>} the results; rejects with the first failure
 */
async function repeatOnAll(workers, times, atOnce, act) {
  const missing = new Set(workers);
  const deadline = performance.now() + WATCHDOG_MS;
  /** @type {T[]} */
  const results = [];
  do {
    const offset = results.length;
    const more = await repeat(offset === 0 ? times : atOnce, atOnce, (index) => act(offset + index));
    for (const result of more) {
      assert.ok(workers.includes(result.worker), `there is no worker ${result.worker}`);
      missing.delete(result.worker);
      results.push(result);
    }
    assert.ok(performance.now() < deadline, `never met: ${[...missing]}, in ${results.length} times`);
  } while (missing.size > 0);
  return results;
}

module.exports.POLICIES = POLICIES;
module.exports.serve = serve;
module.exports.stop = stop;
module.exports.request = request;
module.exports.repeat = repeat;
module.exports.repeatOnAll = repeatOnAll;
