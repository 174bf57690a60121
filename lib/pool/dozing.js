'use strict';

/**
 * Decides when results are announced. While workers are saturated, each announcement would wake this thread, which
 * takes CPU time from them. Instead, this thread polls periodically on a timer, and wake-ups are suppressed
 * meanwhile.
 */

// Not the globals, which the program or its tests may have replaced, for example with fake timers.
const { clearTimeout, setTimeout } = require('node:timers');
const { Word } = require('./page');

/** Polling interval: this fraction of the time for which workers have queued work, within these bounds. */
const PART = 1 / 8;
const SHORTEST_MS = 1;
const LONGEST_MS = 4;
/**
 * Minimum queued work for polling, in microseconds: no worker may run dry while the program has not yet reacted to
 * a result.
 */
const LEAST_BACKLOG_US = 8000;

class Dozing {
  #native;
  #words;
  #drain;
  #rest;
  /** @type {NodeJS.Timeout | null} */
  #timer = null;
  /** Interval of the timer. */
  #ms = 0;

  /**
   * @param {import('../native/index').PoolQueue} native
   * @param {Int32Array} words
   * @param {() => void} drain processes pending reports
   * @param {() => void} rest re-enables wake-ups
   */
  constructor(native, words, drain, rest) {
    this.#native = native;
    this.#words = words;
    this.#drain = drain;
    this.#rest = rest;
  }

  /** Must be called from the event loop, after all pending reports have been processed. */
  begin() {
    if (this.#words[Word.DOZING] === 1) return;
    const backlogUs = this.#native.backlogUs();
    if (backlogUs < LEAST_BACKLOG_US) return;
    this.#words[Word.DOZING] = 1;
    const ms = Math.min(Math.max(Math.trunc((backlogUs / 1000) * PART), SHORTEST_MS), LONGEST_MS);
    if (this.#timer === null || ms !== this.#ms) {
      if (this.#timer !== null) clearTimeout(this.#timer);
      this.#ms = ms;
      this.#timer = setTimeout(this.#look, ms).unref();
    } else {
      this.#timer.refresh();
    }
  }

  #look = () => {
    this.#words[Word.DOZING] = 0;
    this.#drain();
    this.begin();
    if (this.#words[Word.DOZING] === 0) this.#rest();
  };

  end() {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#words[Word.DOZING] === 0) return;
    this.#words[Word.DOZING] = 0;
    this.#rest();
  }
}

module.exports.Dozing = Dozing;
