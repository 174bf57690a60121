'use strict';

/* Of the plan: messages, requests and calls. */

const { SIZES, TEXT_SIZES } = require('../../lib/messages');
const { points } = require('./points');

/** @type {import('../plan').Section[]} */
module.exports.sections = [
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
];
