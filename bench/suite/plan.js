'use strict';

/*
 * What `npm run bench` measures, section by section: the benchmarks to run and with which options, what of them
 * the document puts at its head, and the curves it draws.
 */

const { SIZES, TEXT_SIZES } = require('../lib/messages');

/**
 * @typedef {object} Step one run of a benchmark of bench/
 * @property {string} benchmark
 * @property {string[]} [args] of a full run
 * @property {string[]} [quick] added to them in a quick one
 * @property {number} [node] the major version to run it with; default: the running one
 *
 * @typedef {object} Headline
 * @property {string} what
 * @property {number} [step] default: the first
 * @property {string} scenario
 * @property {string} contender ours
 * @property {string} peer
 * @property {string} [peerScenario] what the peer did meanwhile; default: the same
 * @property {string} metric
 * @property {number} target what is aimed at: at least that, or at most where the metric is better lower
 * @property {'ratio' | 'figure'} [of] whether that is a ratio to the peer (the default) or a figure of ours
 *
 * @typedef {object} Curve how a figure changes with a size
 * @property {string} id the name of its picture
 * @property {string} title
 * @property {string} x what grows
 * @property {string} benchmark
 * @property {string} metric
 * @property {string[]} contenders
 * @property {{ x: number, scenario: string, args?: string[] }[]} points
 * @property {number[]} [quick] the points of a quick run, by their x
 *
 * @typedef {object} Section
 * @property {string} id
 * @property {string} title
 * @property {string} text
 * @property {Step[]} steps
 * @property {Headline[]} headlines
 * @property {Curve[]} [curves]
 */

/** @param {number[]} values @param {(x: number) => { scenario: string, args?: string[] }} point */
const points = (values, point) => values.map((x) => ({ x, ...point(x) }));

/** @type {Section[]} */
const PLAN = [
  {
    id: 'cluster',
    title: 'Cluster: connections',
    text:
      'A clustered "Hello!" server under wrk, with a new connection for each request (`close`) and with connections ' +
      'that stay (`keep-alive`). PM2’s cluster mode is node:cluster with its round-robin and what PM2 adds to a worker. ' +
      'Paced connections are a thousand a second, alone and beside workers that report 20,000 numbers ten times a second.',
    steps: [
      {
        benchmark: 'connections',
        args: [
          '--scenarios',
          'close,keep-alive',
          '--duration',
          '2',
          '--contenders',
          'node rr,node none,pm2,manycore,manycore rr',
        ],
        quick: ['--duration', '1'],
      },
      {
        benchmark: 'connections',
        node: 24,
        args: [
          '--scenarios',
          'close',
          '--duration',
          '2',
          '--contenders',
          'node rr,manycore,manycore rr,reuseport',
        ],
        quick: ['--duration', '1'],
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
        quick: ['--duration', '1'],
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
        x: 'workers',
        benchmark: 'connections',
        metric: 'rate',
        contenders: ['node rr', 'manycore', 'manycore rr'],
        points: points([1, 2, 4, 8, 16, 32, 64], (x) => ({
          scenario: 'close',
          args: ['--workers', String(x), '--duration', '2', '--rounds', '1'],
        })),
        quick: [1, 4],
      },
      {
        id: 'listeners',
        title: 'Connections per second by number of listening servers',
        x: 'listeners',
        benchmark: 'connections',
        metric: 'rate',
        contenders: ['node rr', 'manycore', 'manycore rr'],
        points: points([1, 4, 16, 64, 256], (x) => ({
          scenario: 'close',
          args: ['--listeners', String(x), '--duration', '2', '--rounds', '1'],
        })),
        quick: [1, 16],
      },
    ],
  },
  {
    id: 'threads-messages',
    title: 'Messages between threads',
    text: 'A program and its worker thread, through `postMessage`, against Node’s own.',
    steps: [
      {
        benchmark: 'messaging',
        args: [
          '--scenarios',
          'small,object,text,short-text,map,binary,binary-view,round-trip,round-trip-frugal,round-trip-low,outstanding,paced,idle',
        ],
        quick: ['--scenarios', 'small,object,text,binary,round-trip'],
      },
      { benchmark: 'ports', quick: ['--scenarios', 'event-object,echo-object,port-echo-object'] },
    ],
    headlines: [
      {
        what: 'small objects, one way',
        scenario: 'small',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 9,
      },
      {
        what: 'objects of 907 bytes, one way',
        scenario: 'object',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 3.2,
      },
      {
        what: 'round trips',
        scenario: 'round-trip',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 30,
      },
      {
        what: '64 KiB of text',
        scenario: 'text',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 1.2,
      },
      {
        what: '1 MiB of bytes',
        scenario: 'binary',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 1,
      },
      {
        what: '1 MiB of bytes, lent',
        scenario: 'binary-view',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 3.5,
      },
      {
        what: 'ports of one thread: objects',
        step: 1,
        scenario: 'event-object',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 3,
      },
      {
        what: 'echo of a worker under register',
        step: 1,
        scenario: 'echo-object',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 3,
      },
      {
        what: 'echo of a port given to a worker',
        step: 1,
        scenario: 'port-echo-object',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 1.5,
      },
    ],
    curves: [
      {
        id: 'message-sizes',
        title: 'Messages per second by their size',
        x: 'bytes',
        benchmark: 'messaging',
        metric: 'rate',
        contenders: ['node', 'manycore'],
        points: points(SIZES, (x) => ({ scenario: `bytes-${x}`, args: ['--rounds', '3'] })),
        quick: [SIZES[0], 65_536],
      },
    ],
  },
  {
    id: 'process-messages',
    title: 'Messages between processes',
    text:
      'A cluster’s primary and a worker, through `send`, under both serializations, against Node’s own. The primary of ' +
      'the row for idle has four workers.',
    steps: [
      {
        benchmark: 'ipc',
        args: [
          '--scenarios',
          'json-small,json-object,json-text,json-round-trip,json-round-trip-frugal,json-outstanding,json-paced,json-idle,' +
            'advanced-small,advanced-object,advanced-text,advanced-binary,advanced-binary-view,advanced-round-trip,' +
            'advanced-outstanding',
        ],
        quick: ['--scenarios', 'json-small,json-object,json-round-trip'],
      },
    ],
    headlines: [
      {
        what: 'small objects as JSON, one way',
        scenario: 'json-small',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 9,
      },
      {
        what: 'small objects as structured clones, one way',
        scenario: 'advanced-small',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 20,
      },
      {
        what: 'round trips as JSON',
        scenario: 'json-round-trip',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 30,
      },
      {
        what: 'round trips as JSON, without looking on',
        scenario: 'json-round-trip-frugal',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 1.1,
      },
      {
        what: 'objects of 907 bytes as JSON',
        scenario: 'json-object',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 2.3,
      },
      {
        what: 'objects of 907 bytes as structured clones',
        scenario: 'advanced-object',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 3,
      },
      {
        what: '64 KiB of text as JSON',
        scenario: 'json-text',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 15,
      },
      {
        what: '64 KiB of text as structured clones',
        scenario: 'advanced-text',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 5,
      },
      {
        what: '1 MiB of bytes as structured clones',
        scenario: 'advanced-binary',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 3.5,
      },
      {
        what: '1 MiB of bytes as structured clones, lent',
        scenario: 'advanced-binary-view',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 9,
      },
      {
        what: 'processor time of messages 100 us apart',
        scenario: 'json-paced',
        contender: 'manycore',
        peer: 'node',
        metric: 'cpuUs',
        target: 1,
      },
    ],
    curves: [
      {
        id: 'process-text-sizes',
        title: 'Texts per second as JSON, by their length',
        x: 'characters',
        benchmark: 'ipc',
        metric: 'rate',
        contenders: ['node', 'manycore'],
        points: points(TEXT_SIZES, (x) => ({ scenario: `json-text-${x}`, args: ['--rounds', '3'] })),
        quick: [TEXT_SIZES[0], 65_536],
      },
      {
        id: 'process-byte-sizes',
        title: 'Byte arrays per second as structured clones, by their length',
        x: 'bytes',
        benchmark: 'ipc',
        metric: 'rate',
        contenders: ['node', 'manycore'],
        points: points(SIZES, (x) => ({ scenario: `advanced-bytes-${x}`, args: ['--rounds', '3'] })),
        quick: [SIZES[0], 65_536],
      },
    ],
  },
  {
    id: 'calls',
    title: 'Requests and blocking calls',
    text: 'Asking a worker thread and getting its answer: with a promise, and with the caller standing still.',
    steps: [
      { benchmark: 'calls', quick: ['--scenarios', 'small'] },
      { benchmark: 'requests', quick: ['--scenarios', 'one'] },
    ],
    headlines: [
      {
        what: 'blocking calls',
        scenario: 'small',
        contender: 'manycore',
        peer: 'synckit',
        metric: 'eachUs',
        target: 1 / 40,
      },
      {
        what: 'requests, one at a time',
        step: 1,
        scenario: 'one',
        contender: 'manycore',
        peer: 'node',
        metric: 'rate',
        target: 30,
      },
    ],
  },
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
  {
    id: 'shared',
    title: 'Shared data',
    text: 'A map in shared memory against lmdb and Redis on localhost; a rate limiter used by two processes at once.',
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
        what: 'consuming from rate limits, by two processes',
        scenario: 'limit-2',
        contender: 'manycore',
        peer: 'lmdb',
        metric: 'rate',
        target: 1e6,
        of: 'figure',
      },
      {
        what: 'memory of an entry',
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
        x: 'entries',
        benchmark: 'shared',
        metric: 'rate',
        contenders: ['lmdb', 'manycore'],
        points: points([1e2, 1e3, 1e4, 1e5, 1e6, 1e7], (x) => ({
          scenario: 'get',
          args: ['--entries', String(x), '--rounds', '1'],
        })),
        quick: [1e2, 1e5],
      },
    ],
  },
  {
    id: 'locks',
    title: 'Locks',
    text: 'Taking a lock and giving it back, and how long after the death of a holder the next one has it.',
    steps: [{ benchmark: 'locks' }, { benchmark: 'locks-death', quick: ['--rounds', '1'] }],
    headlines: [
      {
        what: 'taking a free lock and giving it back',
        scenario: 'beyond-calls',
        contender: 'manycore',
        peer: 'manycore',
        metric: 'beyondNs',
        target: 150,
        of: 'figure',
      },
      {
        what: 'from the death of a holder to the next, at most',
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
    text: 'What `require` costs a process.',
    steps: [{ benchmark: 'require', quick: ['--processes', '5'] }],
    headlines: [],
  },
];

module.exports.PLAN = PLAN;
