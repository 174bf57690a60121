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
      'A clustered "Hello!" server under load. PM2’s cluster mode is node:cluster under round-robin, plus what PM2 adds to ' +
      'a worker.',
    scenarios: {
      close: 'wrk opens a new connection for each request',
      'keep-alive':
        'wrk sends all requests on 64 connections that stay open; each server runs through six rounds, then a new one',
      paced: 'a thousand new connections a second',
      'paced + ipc': 'the same, while each worker reports 20,000 numbers to the primary ten times a second',
    },
    steps: [
      {
        benchmark: 'connections',
        args: [
          '--scenarios',
          'close',
          '--rounds',
          '9',
          '--duration',
          '2',
          '--contenders',
          'node rr,node none,pm2,manycore,manycore rr',
        ],
        quick: SHORT,
      },
      {
        // After the default warm-up, V8's threads still take about a twentieth of the processors' time, by contender
        // more or less. And single rounds, and servers of the same contender, differ by more than the targets are apart.
        benchmark: 'connections',
        node: 24,
        args: [
          '--scenarios',
          'close',
          '--rounds',
          '24',
          '--renew',
          '8',
          '--duration',
          '1',
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
        // Servers have been slow for twenty rounds on end whose successors were not: one server is one sample.
        benchmark: 'connections',
        args: [
          '--scenarios',
          'keep-alive',
          '--rounds',
          '24',
          '--renew',
          '6',
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
        what: 'CPU time per connection',
        scenario: 'close',
        contender: 'manycore',
        peer: 'node rr',
        metric: 'cpuUs',
        target: 0.42,
      },
      {
        what: 'p99 latency of new connections',
        scenario: 'close',
        contender: 'manycore',
        peer: 'node rr',
        metric: 'p99Ms',
        target: 0.6,
      },
      {
        what: 'CPU time of the primary per connection under `rr`',
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
        what: 'requests per second with keep-alive',
        step: 3,
        scenario: 'keep-alive',
        contender: 'manycore',
        peer: 'node rr',
        metric: 'rate',
        target: 1,
      },
      {
        what: 'connections per second under `rr`',
        scenario: 'close',
        contender: 'manycore rr',
        peer: 'node rr',
        metric: 'rate',
        target: 1,
      },
      {
        what: 'connections per second on Node 24, against SO_REUSEPORT',
        step: 1,
        scenario: 'close',
        contender: 'manycore',
        peer: 'reuseport',
        metric: 'rate',
        target: 0.98,
      },
      {
        what: 'the same under `rr`',
        step: 1,
        scenario: 'close',
        contender: 'manycore rr',
        peer: 'reuseport',
        metric: 'rate',
        target: 0.93,
      },
      {
        what: 'p99 latency while metrics go over IPC, against without',
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
          'With more workers than processors, the workers themselves need more time per connection, whoever distributes ' +
          'them: processes take turns on a processor, each finds its caches overwritten by others, and V8 optimises the ' +
          'code of each process separately. 64 workers with a socket each (`SO_REUSEPORT`) slow down to a similar extent.',
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
        text: 'From four servers per worker on, the cost of a connection hardly depends on their number.',
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
