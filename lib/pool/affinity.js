'use strict';

/**
 * Returns the place of the worker for a key (rendezvous hashing): the same for the same key as long as that worker
 * lives. When a worker starts or ends, only the keys it wins or had are remapped.
 * @param {unknown} key
 * @param {Iterable<import('./member').Member>} members
 * @returns {number | undefined} undefined if there are no workers
 */
function chooseByKey(key, members) {
  const text = String(key);
  let place;
  let highest = -1;
  for (const { number, workerId } of members) {
    const weight = hash(`${workerId}:${text}`);
    if (weight <= highest) continue;
    highest = weight;
    place = number;
  }
  return place;
}

/** @param {string} text */
function hash(text) {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  // Finalizer: spreads the last characters over all bits.
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

module.exports.chooseByKey = chooseByKey;
