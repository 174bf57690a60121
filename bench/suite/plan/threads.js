'use strict';

/* Of the plan: worker threads and pools. */

const { points } = require('./points');

/** @type {import('../plan').Section[]} */
module.exports.sections = [
  {
    id: 'threads',
    title: 'Worker threads',
    text: 'What a worker costs: time to its first message, memory, time to end it.',
    steps: [
      {
        benchmark: 'threads',
        args: ['--workers', '7'],
        quick: ['--workers', '3', '--scenarios', 'cold,warm'],
      },
    ],
    headlines: [
      {
        what: 'cold start to the first message',
        scenario: 'cold',
        contender: 'manycore',
        peer: 'node',
        metric: 'figure',
        target: 1.05,
      },
      {
        what: 'warm start to the first message',
        scenario: 'warm',
        contender: 'manycore',
        peer: 'node',
        metric: 'figure',
        target: 1 / 15,
      },
      {
        what: 'memory of an idle worker',
        scenario: 'memory',
        contender: 'manycore',
        peer: 'node',
        metric: 'figure',
        target: 1.01,
      },
      {
        what: 'ending a worker',
        scenario: 'terminate',
        contender: 'manycore',
        peer: 'node',
        metric: 'figure',
        target: 1.5,
      },
    ],
  },
  {
    id: 'pool',
    title: 'Pool',
    text:
      'Pools of threads against piscina, tinypool and workerpool, blocking calls against synckit, and work that fills ' +
      'two processors against two threads without a pool.',
    steps: [
      { benchmark: 'pool', quick: ['--scenarios', 'burst,sequential,buffers,cold'] },
      {
        benchmark: 'pool',
        args: ['--scenarios', 'queue-10000,queue-1000000', '--contenders', 'manycore', '--rounds', '3'],
        quick: ['--scenarios', 'queue-10000'],
      },
      { benchmark: 'pool', node: 26, args: ['--scenarios', 'burst,sequential,buffers,cold'] },
    ],
    headlines: [
      {
        what: 'trivial tasks in bursts',
        scenario: 'burst',
        contender: 'manycore',
        peer: 'piscina',
        metric: 'rate',
        target: 30,
      },
      {
        what: 'trivial tasks one after the other',
        scenario: 'sequential',
        contender: 'manycore',
        peer: 'piscina',
        metric: 'rate',
        target: 8,
      },
      {
        what: 'tasks of 1 ms on two processors, against no pool',
        scenario: 'cpu',
        contender: 'manycore',
        peer: 'threads',
        metric: 'rate',
        target: 0.97,
      },
      {
        what: '1 MiB there and back',
        scenario: 'buffers',
        contender: 'manycore',
        peer: 'piscina',
        metric: 'rate',
        target: 3,
      },
      {
        what: 'a blocking call, against synckit',
        scenario: 'sync',
        contender: 'manycore',
        peer: 'synckit',
        metric: 'eachUs',
        target: 1 / 20,
      },
      {
        what: 'cold start to the first result',
        scenario: 'cold',
        contender: 'manycore',
        peer: 'piscina',
        metric: 'firstMs',
        target: 1,
      },
      {
        what: 'first result with a worker ready before',
        scenario: 'warm',
        contender: 'manycore',
        peer: 'piscina',
        metric: 'firstMs',
        target: 0.1,
      },
      {
        what: 'trivial tasks in bursts over processes, piscina over threads',
        scenario: 'burst-processes',
        contender: 'manycore',
        peer: 'piscina',
        metric: 'rate',
        target: 20,
      },
      {
        what: 'trivial tasks one after the other over processes, piscina over threads',
        scenario: 'sequential-processes',
        contender: 'manycore',
        peer: 'piscina',
        metric: 'rate',
        target: 8,
      },
      {
        what: 'tasks of 1 ms over two processes, piscina over threads',
        scenario: 'cpu-processes',
        contender: 'manycore',
        peer: 'piscina',
        metric: 'rate',
        target: 1,
      },
      {
        what: 'resident memory with a million tasks in the queue',
        step: 1,
        scenario: 'queue-1000000',
        contender: 'manycore',
        peer: 'manycore',
        metric: 'peakMiB',
        target: 400,
        of: 'figure',
      },
      {
        what: 'a task among a million in the queue, against one among 10,000',
        step: 1,
        scenario: 'queue-1000000',
        contender: 'manycore',
        peer: 'manycore',
        peerScenario: 'queue-10000',
        metric: 'eachUs',
        target: 1,
      },
    ],
    curves: [
      {
        id: 'pool-queue',
        title: 'Many tasks at once',
        x: 'tasks',
        benchmark: 'pool',
        metric: 'eachUs',
        contenders: ['piscina', 'manycore'],
        points: points([100, 1000, 10_000, 100_000, 1_000_000], (x) => ({ scenario: `queue-${x}` })),
        quick: [100, 10_000],
      },
    ],
  },
];
