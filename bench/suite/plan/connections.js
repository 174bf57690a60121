'use strict';

/* Plan: connections. */

const { points } = require('./points');

/** Of a quick run: workers that have hardly been warmed up, loaded for a second. */
const SHORT = ['--duration', '1', '--warm', '1'];

/** @type {import('../plan').Section[]} */
module.exports.sections = [
  {
    id: 'cluster',
    title: 'Cluster: connections',
    text:
      'A clustered "Hello!" server under wrk, with a new connection for each request (`close`) and with connections ' +
      'that stay (`keep-alive`; there each server stays for all rounds, too). PM2’s cluster mode is node:cluster with its round-robin and what PM2 adds to a worker. ' +
      'Paced connections are a thousand a second, alone and beside workers that report 20,000 numbers ten times a second.',
    steps: [
      {
        benchmark: 'connections',
        args: [
          '--scenarios',
          'close',
          '--duration',
          '2',
          '--contenders',
          'node rr,node none,pm2,manycore,manycore rr',
        ],
        quick: SHORT,
      },
      {
        // After the default warm-up, V8's threads still take about a twentieth of the processors' time, by contender
        // more or less. And single rounds differ by more than the targets are apart.
        benchmark: 'connections',
        node: 24,
        args: [
          '--scenarios',
          'close',
          '--rounds',
          '11',
          '--duration',
          '2',
          '--warm',
          '15000',
          '--contenders',
          'node rr,manycore,manycore rr,reuseport',
        ],
        quick: [...SHORT, '--contenders', 'manycore,reuseport'],
      },
      {
        benchmark: 'connections',
        args: [
          '--rate',
          '1000',
          '--ipc',
          '1',
          '--scenarios',
          'paced,paced + ipc',
          '--duration',
          '3',
          '--contenders',
          'node rr,manycore',
        ],
        quick: SHORT,
      },
      {
        benchmark: 'connections',
        args: [
          '--scenarios',
          'keep-alive',
          '--rounds',
          '31',
          '--duration',
          '1',
          '--warm',
          '20000',
          '--contenders',
          'node rr,pm2,manycore,manycore rr',
        ],
        quick: SHORT,
      },
    ],
    headlines: [
      {
        what: 'connections per second',
        scenario: 'close',
        contender: 'manycore',
        peer: 'node rr',
        metric: 'rate',
        target: 1.9,
      },
      {
        what: 'server CPU for a connection',
        scenario: 'close',
        contender: 'manycore',
        peer: 'node rr',
        metric: 'cpuUs',
        target: 0.42,
      },
      {
        what: 'latency of connections, the slowest in a hundred',
        scenario: 'close',
        contender: 'manycore',
        peer: 'node rr',
        metric: 'p99Ms',
        target: 0.6,
      },
      {
        what: 'the primary’s CPU for a connection handed over in turn',
        scenario: 'close',
        contender: 'manycore rr',
        peer: 'node rr',
        metric: 'primaryUs',
        target: 0.2,
      },
      {
        what: 'connections per second, against PM2',
        scenario: 'close',
        contender: 'manycore',
        peer: 'pm2',
        metric: 'rate',
        target: 1.9,
      },
      {
        what: 'requests per second on kept connections',
        step: 3,
        scenario: 'keep-alive',
        contender: 'manycore',
        peer: 'node rr',
        metric: 'rate',
        target: 1,
      },
      {
        what: 'strictly in turn, against the same',
        scenario: 'close',
        contender: 'manycore rr',
        peer: 'node rr',
        metric: 'rate',
        target: 1,
      },
      {
        what: 'connections on Node 24, against SO_REUSEPORT',
        step: 1,
        scenario: 'close',
        contender: 'manycore',
        peer: 'reuseport',
        metric: 'rate',
        target: 0.98,
      },
      {
        what: 'strictly in turn on Node 24, against SO_REUSEPORT',
        step: 1,
        scenario: 'close',
        contender: 'manycore rr',
        peer: 'reuseport',
        metric: 'rate',
        target: 0.93,
      },
      {
        what: 'the slowest in a hundred beside metrics over IPC, against alone',
        step: 2,
        scenario: 'paced + ipc',
        contender: 'manycore',
        peer: 'manycore',
        peerScenario: 'paced',
        metric: 'p99Ms',
        target: 1.5,
      },
    ],
    curves: [
      {
        id: 'workers',
        title: 'Connections per second by number of workers',
        text:
          'What grows with more workers than processors is the time of the workers themselves, whoever hands over the ' +
          'connections: many processes take turns on a processor, each finds the caches used by others, and V8 ' +
          'optimises each one’s code on its own. 64 workers with a socket each (`SO_REUSEPORT`) slow down to a similar extent.',
        x: 'workers',
        benchmark: 'connections',
        metric: 'rate',
        contenders: ['node rr', 'manycore', 'manycore rr'],
        points: points([1, 2, 4, 16, 64], (x) => ({
          scenario: 'close',
          // The warm-up counts for each worker: many of them would take minutes for no other figures.
          args: [
            '--workers',
            String(x),
            '--warm',
            x > 16 ? '1500' : '5000',
            '--duration',
            '1',
            '--rounds',
            '3',
          ],
        })),
        quick: [1, 4],
        quickArgs: SHORT,
      },
      {
        id: 'listeners',
        title: 'Connections per second by number of listening servers',
        text: 'From four servers on, what a connection costs does not depend on how many each worker listens with.',
        x: 'listeners',
        benchmark: 'connections',
        metric: 'rate',
        contenders: ['node rr', 'manycore', 'manycore rr'],
        points: points([1, 4, 16, 64, 256], (x) => ({
          scenario: 'close',
          args: ['--listeners', String(x), '--duration', '1', '--rounds', '3'],
        })),
        quick: [1, 16],
        quickArgs: SHORT,
      },
    ],
  },
];
