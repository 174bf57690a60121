'use strict';

/*
 * The samples of examples/learn.js: points on three arms of a spiral, with noise; the class is the arm.
 */

const CLASSES = 3;
const TURNS = 0.9;
const NOISE = 0.04;

/** @typedef {{ points: Float64Array, labels: Uint8Array }} Samples x and y of each point; its class */

/**
 * @param {number} count
 * @param {number} seed the same seed gives the same samples
 * @returns {Samples} in shared memory
 */
function spirals(count, seed) {
  const random = generator(seed);
  const points = new Float64Array(new SharedArrayBuffer(count * 2 * 8));
  const labels = new Uint8Array(new SharedArrayBuffer(count));
  for (let i = 0; i < count; i++) {
    const label = i % CLASSES;
    const radius = 0.1 + 0.9 * random();
    const angle = 2 * Math.PI * (radius * TURNS + label / CLASSES);
    points[2 * i] = radius * Math.cos(angle) + NOISE * (random() + random() - 1) * 2;
    points[2 * i + 1] = radius * Math.sin(angle) + NOISE * (random() + random() - 1) * 2;
    labels[i] = label;
  }
  return { points, labels };
}

/**
 * A small generator of numbers in [0, 1): mulberry32.
 * @param {number} seed
 */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

module.exports.CLASSES = CLASSES;
module.exports.spirals = spirals;
module.exports.generator = generator;
