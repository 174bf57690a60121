'use strict';

/** Shared words through which the native queue is called: the counterpart of `src/pool*.rs`. */

/** Kinds of task records, as in `queue::TaskKind`. */
const TaskKind = Object.freeze({ CALL: 1, PARCEL: 2, TICKET: 3, ABORT: 4, DELIVERY: 5, RETIRE: 6 });

/** Kinds of reports, as in `queue::Kind`. */
const Report = Object.freeze({
  RESULT: 1,
  ERROR: 2,
  PARCEL_RESULT: 3,
  PARCEL_ERROR: 4,
  EVENT: 5,
  PARCEL_EVENT: 6,
  CLAIM: 7,
  DROPPED: 8,
  READY: 9,
  RETIRED: 10,
  ENDED: 11,
  FAULT: 12,
  CORRUPT: 13,
});

/** Which worker may take a task. */
const Target = Object.freeze({ ANY: 0, ALONE: 1, WORKER: 2 });

/** Words of a call that queues a task. Native code reads those from `DOZING` on at any time. */
const Word = Object.freeze({
  KIND: 0,
  SLOT: 1,
  HANDLER: 2,
  DEFINITIONS: 3,
  TARGET: 4,
  WORKER: 5,
  LENGTH: 6,
  KEEP: 7,
  /** Two words that hold a double. */
  PRIORITY: 8,
  PAYLOADS: 10,
  LIMIT_MS: 11,
  DOZING: 12,
  KEPT: 14,
  OUTSTANDING: 15,
});

/** Word in which a worker sets for how many microseconds to spin. */
const LINGER_WORD = 4;

/** Word that tells a worker whether the task pulled last is a direct call. */
const CALLED_WORD = 5;

/** The kind word of a report has the kind below this bit, and the number of payloads from it upwards. */
const PAYLOADS_SHIFT = 8;

/** Bytes of the header before the record of a report. */
const ENTRY_BYTES = 32;

/** Key of the message by which a worker tells, among the messages of its code, that a task with a channel begins. */
const BEGUN = 'manycore:begun';

module.exports.BEGUN = BEGUN;
module.exports.TaskKind = TaskKind;
module.exports.Report = Report;
module.exports.Target = Target;
module.exports.Word = Word;
module.exports.PAYLOADS_SHIFT = PAYLOADS_SHIFT;
module.exports.CALLED_WORD = CALLED_WORD;
module.exports.LINGER_WORD = LINGER_WORD;
module.exports.ENTRY_BYTES = ENTRY_BYTES;
