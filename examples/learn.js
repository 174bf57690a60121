'use strict';

/*
 * Machine learning on all cores: trains a small neural network to distinguish the arms of a spiral.
 *
 * Data-parallel gradient descent: the samples are split into a fixed number of shards; in every step the threads
 * take shards until none is left and add up each shard's gradient in shared memory, meet at a barrier, then each
 * updates its share of the parameters from the gradients of all shards, in the shards' order. Since neither the
 * shards nor the order of any sum depends on who computes what, one thread and many learn bit for bit the same
 * network.
 *
 *   node examples/learn.js [STEPS] [--threads N] [--quick]
 */

const { isMainThread, parentPort, workerData } = require('manycore');

const { HIDDEN, PARAMETERS, addGradient, adam, initialParameters, predict } = require('./support/network');
const { options, positive } = require('./support/options');
const { CLASSES, spirals } = require('./support/spirals');
const { ALL_CORES, Team, meet, printSpeedUp, timeMs } = require('./support/team');

const SHARDS = 64;

if (isMainThread) main();
else parentPort?.on('message', (steps) => parentPort?.postMessage(train(workerData, steps)));

async function main() {
  const { quick, threads, argument } = options(ALL_CORES);
  const steps = argument ? positive('The number of steps', argument) : quick ? 60 : 300;
  const samples = spirals(quick ? 1500 : 9000, 1);
  const unseen = spirals(2000, 2);
  console.log(
    `${samples.labels.length} samples of ${CLASSES} classes, ${HIDDEN} hidden units, ${steps} steps`,
  );

  const one = await learn(samples, steps, 1);
  const all = await learn(samples, steps, threads);
  console.log(`accuracy on unseen samples: ${(100 * accuracy(all.parameters, unseen)).toFixed(1)} %`);
  printSpeedUp(one.ms, all.ms, threads);
  const identical = Buffer.from(one.parameters.buffer).equals(Buffer.from(all.parameters.buffer));
  console.log(`identical: ${identical ? 'yes' : 'no'}`);
  if (!identical) process.exitCode = 1;
}

/**
 * @typedef {import('./support/spirals').Samples} Samples
 * @typedef {{ index: number, size: number, barrier: Int32Array, samples: Samples, parameters: Float64Array,
 *   gradients: Float64Array, moments: Float64Array, next: Int32Array }} Shared
 */

/**
 * Trains a network from the same initial state on a number of threads.
 * @param {Samples} samples
 * @param {number} steps
 * @param {number} threads
 */
async function learn(samples, steps, threads) {
  const shared = (/** @type {number} */ length) => new Float64Array(new SharedArrayBuffer(length * 8));
  const parameters = shared(PARAMETERS);
  const gradients = shared(PARAMETERS * SHARDS);
  const moments = shared(PARAMETERS * 2);
  const next = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const team = new Team(__filename, threads, { samples, parameters, gradients, moments, next });
  try {
    await team.ask(2); // Two warm-up steps, then the training starts over.
    parameters.set(initialParameters());
    moments.fill(0);
    const ms = await timeMs(() => team.ask(steps));
    return { ms, parameters };
  } finally {
    await team.close();
  }
}

/**
 * One thread's share of the training.
 * @param {Shared} shared
 * @param {number} steps
 */
function train({ index, size, barrier, samples, parameters, gradients, moments, next }, steps) {
  const count = samples.labels.length;
  const firstMine = Math.floor((index * PARAMETERS) / size);
  const firstNotMine = Math.floor(((index + 1) * PARAMETERS) / size);
  for (let step = 1; step <= steps; step++) {
    for (let shard; (shard = Atomics.add(next, 0, 1)) < SHARDS;) {
      const gradient = gradients.subarray(shard * PARAMETERS, (shard + 1) * PARAMETERS).fill(0);
      const end = Math.floor(((shard + 1) * count) / SHARDS);
      for (let i = Math.floor((shard * count) / SHARDS); i < end; i++) {
        addGradient(parameters, samples, i, gradient);
      }
    }
    meet(barrier, size);
    for (let i = firstMine; i < firstNotMine; i++) {
      let sum = 0;
      for (let shard = 0; shard < SHARDS; shard++) sum += gradients[shard * PARAMETERS + i];
      adam(parameters, moments, i, sum / count, step);
    }
    if (index === 0) Atomics.store(next, 0, 0);
    meet(barrier, size);
  }
}

/**
 * Returns the fraction of the samples that the network classifies correctly.
 * @param {Float64Array} parameters
 * @param {Samples} samples
 */
function accuracy(parameters, samples) {
  let right = 0;
  for (let i = 0; i < samples.labels.length; i++) {
    if (predict(parameters, samples.points[2 * i], samples.points[2 * i + 1]) === samples.labels[i]) right++;
  }
  return right / samples.labels.length;
}
