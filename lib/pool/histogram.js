'use strict';

/** User-visible durations in milliseconds, summarised like piscina's. */

const PERCENTILES = [0.001, 0.01, 0.1, 1, 2.5, 10, 25, 50, 75, 90, 97.5, 99, 99.9, 99.99, 99.999];
const NAMES = PERCENTILES.map((percentile) => `p${String(percentile).replace('.', '_')}`);

/**
 * @param {{ mean: number, stddev: number, min: number, max: number }} moments in microseconds
 * @param {(i: number) => number} percentile returns the value of the percentile with this index
 */
function summary({ mean, stddev, min, max }, percentile) {
  /** @type {Record<string, number>} */
  const result = {
    average: mean / 1000,
    mean: mean / 1000,
    stddev: stddev / 1000,
    min: min / 1000,
    max: max / 1000,
  };
  NAMES.forEach((name, i) => {
    result[name] = percentile(i) / 1000;
  });
  return result;
}

const NO_TIMES = Object.freeze({
  count: 0,
  mean: 0,
  stddev: 0,
  min: 0,
  max: 0,
  percentiles: PERCENTILES.map(() => 0),
});

/** @param {import('../native/index').PoolTimes} times */
const summaryOfTimes = (times) => {
  // As in Node's histograms, the mean of no values is NaN.
  const moments = times.count === 0 ? { ...times, mean: NaN, stddev: NaN } : times;
  return summary(moments, (i) => times.percentiles[i]);
};

/** @param {import('node:perf_hooks').RecordableHistogram} histogram a histogram of Node, in microseconds */
const summaryOfHistogram = (histogram) => summary(histogram, (i) => histogram.percentile(PERCENTILES[i]));

/** The times of a queue that is about to be closed. */
class Times {
  #run;
  #wait;

  /** @param {import('../native/index').PoolQueue} queue */
  constructor(queue) {
    this.#run = queue.runTimes();
    this.#wait = queue.waitTimes();
  }

  runTimes() {
    return this.#run;
  }

  waitTimes() {
    return this.#wait;
  }

  resetRunTimes() {
    this.#run = NO_TIMES;
  }

  resetWaitTimes() {
    this.#wait = NO_TIMES;
  }
}

/**
 * @param {() => import('../native/index').PoolQueue | Times | null} queue null if nothing was recorded
 * @param {boolean} isRecording
 */
function makeHistogram(queue, isRecording) {
  return {
    /** Run times of tasks; undefined without `recordTiming`. */
    get runTime() {
      return isRecording ? summaryOfTimes(queue()?.runTimes() ?? NO_TIMES) : undefined;
    },
    /** Wait times of tasks; undefined without `recordTiming`. */
    get waitTime() {
      return isRecording ? summaryOfTimes(queue()?.waitTimes() ?? NO_TIMES) : undefined;
    },
    resetRunTime() {
      queue()?.resetRunTimes();
    },
    resetWaitTime() {
      queue()?.resetWaitTimes();
    },
  };
}

module.exports.makeHistogram = makeHistogram;
module.exports.Times = Times;
module.exports.summaryOfHistogram = summaryOfHistogram;
