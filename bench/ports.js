'use strict';

/*
 * Effect of `-r manycore/register` on unmodified programs: messages between the ports of a channel, and to a worker
 * that echoes them.
 *
 *   node bench/run.js ports --scenarios event-string,echo-object
 */

const path = require('node:path');

const { define } = require('./lib/driver');
const { measureExchange, messagesBenchmark } = require('./lib/exchange');

const PROGRAM = path.join(__dirname, 'servers', 'ports.js');
const REGISTER = path.join(__dirname, '..', 'register.js');

/** Name, and number of messages per round at `--scale 1`. */
const SCENARIOS = [
  { name: 'event-string', count: 500_000 },
  { name: 'event-object', count: 300_000 },
  { name: 'emitter-string', count: 500_000 },
  { name: 'emitter-object', count: 300_000 },
  { name: 'burst-object', count: 300_000 },
  { name: 'read-object', count: 300_000 },
  { name: 'echo-string', count: 30_000 },
  { name: 'echo-object', count: 30_000 },
  { name: 'echo-10-string', count: 100_000 },
  { name: 'echo-10-object', count: 100_000 },
  { name: 'port-echo-object', count: 30_000 },
  { name: 'port-echo-10-object', count: 100_000 },
  { name: 'port-burst-object', count: 100_000 },
  { name: 'broadcast-object', count: 50_000 },
];

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure({ library }, { name, count }, { node, scale }) {
  const preload = library === 'manycore' ? ['-r', REGISTER] : [];
  return measureExchange(node, [...preload, PROGRAM, name], count, scale);
}

const benchmark = messagesBenchmark({
  name: 'ports',
  title:
    'Ports under manycore/register: each message posted when the one before has come, to onmessage (event) or a ' +
    "'message' listener (emitter); a thousand at once (burst); read by receiveMessageOnPort (read); there and back " +
    'to a worker, one or ten at a time, by the worker (echo) or a port given to it (port-echo); a thousand at once to ' +
    'such a port (port-burst); to a BroadcastChannel of a worker, there and back (broadcast)',
  scenarios: SCENARIOS,
  measure,
});

define(benchmark, module);
