'use strict';

/** Shared objects received in messages, see `lib/link/travellers`. */

const { loadAddon } = require('../core/addon');

/** Classes by the kind given in handles. @type {Record<string, () => any>} */
const CLASSES = {
  array: () => require('./array').SharedArray,
  buffer: () => require('./buffer').SharedBuffer,
  channel: () => require('./channel').Channel,
  counter: () => require('./counter').SharedCounter,
  histo: () => require('./histogram').SharedHistogram,
  limiter: () => require('./limiter').RateLimiter,
  map: () => require('./map').SharedMap,
  topic: () => require('./topic').Topic,
  barrier: () => require('../locks/barrier').Barrier,
  condition: () => require('../locks/condition').Condition,
  mutex: () => require('../locks/mutex').Mutex,
  once: () => require('../locks/once').Once,
  rwlock: () => require('../locks/mutex').RwLock,
  semaphore: () => require('../locks/semaphore').Semaphore,
};

/**
 * Received objects that are still referenced in this thread, by kind and place, so that the same memory is not
 * mapped for each message.
 * @type {Map<string, WeakRef<any>>}
 */
const known = new Map();
const forgotten = new FinalizationRegistry((/** @type {string} */ key) => {
  if (known.get(key)?.deref() === undefined) known.delete(key);
});

/**
 * @param {string} kind
 * @param {string} place
 */
function open(kind, place) {
  const key = `${kind}:${place}`;
  const before = known.get(key)?.deref();
  if (before !== undefined && isOpen(before)) return before;
  const object = classOf(kind).from(`manycore:${key}`);
  known.set(key, new WeakRef(object));
  forgotten.register(object, key);
  return object;
}

/** @param {string} kind */
function classOf(kind) {
  // Falls back for a kind that only another version has.
  return Object.hasOwn(CLASSES, kind) ? CLASSES[kind]() : CLASSES.map();
}

/** @param {any} object */
function isOpen(object) {
  try {
    return object.handle !== '';
  } catch {
    return false;
  }
}

/**
 * Returns the object for a place. If it cannot be opened, returns an object that throws the reason on each use.
 * @param {string} kind
 * @param {string} place
 */
function arrive(kind, place) {
  try {
    return open(kind, place);
  } catch (error) {
    return lost(classOf(kind), error);
  }
}

/**
 * Returns the object for a place; undefined if it cannot be opened.
 * @param {string} kind
 * @param {string} place
 */
function arriveOrNothing(kind, place) {
  try {
    return open(kind, place);
  } catch {
    return undefined;
  }
}

/**
 * @param {Function} Class
 * @param {unknown} error
 */
function lost(Class, error) {
  return new Proxy(Object.create(Class.prototype), {
    get(target, name) {
      // Properties read by `await`, by assertions, and when printing the object.
      if (typeof name === 'symbol' || name === 'then' || name === 'constructor') return target[name];
      // Read in each message between processes, before the program has it.
      if (name === 'cmd') return undefined;
      throw error;
    },
  });
}

/** How long anonymous objects that were sent are kept for receivers that have not opened them yet. */
const SENT_KEPT_MS = 30_000;
let isWaiting = false;

/** Schedules the release of objects that were sent long enough ago. */
function releaseSentLater() {
  if (isWaiting) return;
  isWaiting = true;
  const timer = setTimeout(() => {
    isWaiting = false;
    if ((loadAddon()?.releaseSent(SENT_KEPT_MS) ?? 0) > 0) releaseSentLater();
  }, SENT_KEPT_MS + 1000);
  timer.unref();
}

module.exports.arrive = arrive;
module.exports.arriveOrNothing = arriveOrNothing;
module.exports.releaseSentLater = releaseSentLater;
