'use strict';

const net = require('node:net');

const { quantile } = require('./statistics');

/*
 * A paced client: opens connections at a fixed rate, each for one request, whether or not earlier ones have been
 * answered, so that a server that falls behind shows it in the latencies.
 */

const REQUEST = 'GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n';
const TICK_MS = 1;

/** Time after which an unanswered request counts as failed. */
const ANSWER_LIMIT_MS = 5000;

/**
 * @param {{ port: number, rate: number, durationS: number }} load `rate` in connections per second
 * @returns {Promise<import('./wrk').Load & { lateMs: number }>} `lateMs`: maximum delay of the client behind its
 * schedule; latencies are measured from when a connection was actually opened
 */
function paced({ port, rate, durationS }) {
  const total = Math.round(rate * durationS);
  /** @type {number[]} */
  const latenciesUs = [];
  let [opened, settled, errors, lateMs] = [0, 0, 0, 0];
  const start = performance.now();

  return new Promise((resolve) => {
    const finish = () => {
      const sorted = Float64Array.from(latenciesUs).sort();
      const durationUs = (performance.now() - start) * 1000;
      const latencyUs = sorted.length
        ? { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), max: sorted[sorted.length - 1] }
        : { p50: 0, p99: 0, max: 0 };
      resolve({ requests: latenciesUs.length, durationUs, errors, latencyUs, lateMs });
    };
    const onSettled = (/** @type {number | null} */ latencyUs) => {
      if (latencyUs === null) errors++;
      else latenciesUs.push(latencyUs);
      if (++settled === total) finish();
    };
    const ticker = setInterval(() => {
      const elapsedMs = performance.now() - start;
      const due = Math.min(total, Math.floor((elapsedMs * rate) / 1000) + 1);
      if (opened < due) lateMs = Math.max(lateMs, elapsedMs - (opened * 1000) / rate);
      for (; opened < due; opened++) request(port, onSettled);
      if (opened === total) clearInterval(ticker);
    }, TICK_MS);
  });
}

/**
 * @param {number} port
 * @param {(latencyUs: number | null) => void} onSettled null for a failed request
 */
function request(port, onSettled) {
  const start = performance.now();
  let answer = '';
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  socket.setEncoding('latin1').setTimeout(ANSWER_LIMIT_MS, () => socket.destroy());
  socket.on('data', (text) => (answer += text));
  socket.on('error', () => {}); // 'close' follows, with an incomplete response.
  socket.on('close', () => {
    const whole = answer.startsWith('HTTP/1.1 200 ') && answer.includes('Hello!');
    onSettled(whole ? (performance.now() - start) * 1000 : null);
  });
  socket.write(REQUEST);
}

module.exports.paced = paced;
