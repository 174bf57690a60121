'use strict';

/* Plan: shared data, locks, and loading. */

const { points } = require('./points');

/** @type {import('../plan').Section[]} */
module.exports.sections = [
  {
    id: 'shared',
    title: 'Shared data',
    text:
      'A map in shared memory against lmdb and Redis on localhost, with values of 64 characters and keys in random order, ' +
      'and a rate limiter. The scaling scenarios also show how many steps of arithmetic, with nothing shared, the ' +
      'processors complete at the same time: two that share a core complete less than twice as many as one, and no map can ' +
      'scale better than that.',
    scenarios: {
      get: 'reads by one process',
      set: 'writes by one process',
      'get-scaling':
        'reads by one process (alone), and by two from one map (together) or from a map each (apart)',
      'set-scaling': 'writes, likewise',
      'limit-2': 'two processes consume from 100 rate limits',
      overhead: 'memory that an entry takes beyond its key and value',
    },
    steps: [{ benchmark: 'shared', quick: ['--scenarios', 'get,set'] }],
    headlines: [
      {
        what: 'reads of 64 characters, against lmdb',
        scenario: 'get',
        contender: 'manycore',
        peer: 'lmdb',
        metric: 'rate',
        target: 3,
      },
      {
        what: 'writes of 64 characters, against lmdb',
        scenario: 'set',
        contender: 'manycore',
        peer: 'lmdb',
        metric: 'rate',
        target: 5,
      },
      {
        what: 'reads of 64 characters, against Redis',
        scenario: 'get',
        contender: 'manycore',
        peer: 'redis',
        metric: 'rate',
        target: 50,
      },
      {
        what: 'writes of 64 characters, against Redis',
        scenario: 'set',
        contender: 'manycore',
        peer: 'redis',
        metric: 'rate',
        target: 50,
      },
      {
        what: 'reads by two processes, against one',
        scenario: 'get-scaling',
        contender: 'together',
        peer: 'alone',
        metric: 'rate',
        target: 1.7,
      },
      {
        what: 'writes by two processes, against one',
        scenario: 'set-scaling',
        contender: 'together',
        peer: 'alone',
        metric: 'rate',
        target: 1.7,
      },
      {
        what: 'rate limiter, consumed from by two processes',
        scenario: 'limit-2',
        contender: 'manycore',
        peer: 'lmdb',
        metric: 'rate',
        target: 1e6,
        of: 'figure',
      },
      {
        what: 'memory per entry',
        scenario: 'overhead',
        contender: 'manycore',
        peer: 'manycore',
        metric: 'overheadBytes',
        target: 64,
        of: 'figure',
      },
    ],
    curves: [
      {
        id: 'entries',
        title: 'Reads per second by number of entries in the map',
        text:
          'A lookup takes the same few steps in a map of any size. Once the map no longer fits into the caches, a growing ' +
          'share of the lookups waits for memory.',
        x: 'entries',
        benchmark: 'shared',
        metric: 'rate',
        contenders: ['lmdb', 'manycore'],
        points: points([1e2, 1e3, 1e4, 1e5, 1e6, 1e7], (x) => ({
          scenario: 'get',
          args: ['--entries', String(x), '--rounds', '3'],
        })),
        quick: [1e2, 1e5],
      },
    ],
  },
  {
    id: 'locks',
    title: 'Locks',
    text: 'What locks cost, and how long a death delays them.',
    scenarios: {
      'beyond-calls': 'locking and unlocking a free mutex, less the time of two N-API calls that do nothing',
      killed: 'from the SIGKILL of the holder until another process has the lock',
    },
    steps: [{ benchmark: 'locks' }, { benchmark: 'locks-death', quick: ['--rounds', '1'] }],
    headlines: [
      {
        what: 'locking and unlocking a free mutex',
        scenario: 'beyond-calls',
        contender: 'manycore',
        peer: 'manycore',
        metric: 'beyondNs',
        target: 150,
        of: 'figure',
      },
      {
        what: 'from the death of a holder to the next grant, at most',
        step: 1,
        scenario: 'killed',
        contender: 'lockAsync',
        peer: 'lock',
        metric: 'longestMs',
        target: 100,
        of: 'figure',
      },
    ],
  },
  {
    id: 'require',
    title: 'Loading',
    text: 'What `require()` costs a process.',
    steps: [{ benchmark: 'require', quick: ['--processes', '5'] }],
    headlines: [],
  },
];
