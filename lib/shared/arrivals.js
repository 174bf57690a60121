'use strict';

/** Shared objects that come in messages, see `lib/link/travellers`. */

const { loadAddon } = require('../core/addon');

/** The classes by what handles call them. @type {Record<string, () => any>} */
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
 * What has come, as long as anybody here has it: the same memory is not mapped for each message. By kind and place.
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
  // A kind that only another version has.
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
 * The object of a place. If it cannot be opened, an object in whose place each use of it throws the reason.
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
 * The object of a place; undefined if it cannot be opened.
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
      // What is looked at on the way: by `await`, by assertions, by those who print it.
      if (typeof name === 'symbol' || name === 'then' || name === 'constructor') return target[name];
      throw error;
    },
  });
}

/** Objects without a name that were sent are kept for those who have not received them yet. */
const SENT_KEPT_MS = 30_000;
let isWaiting = false;

/** Lets go of what was sent long enough ago, when it is. */
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
