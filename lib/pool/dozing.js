'use strict';

/**
 * When to be told of results. While workers have more to do than they can, each report would wake this thread, which
 * takes a processor from them. So it looks by itself every now and then, and nobody wakes it meanwhile.
 */

// What a program, or its tests, put in the place of the global ones is not meant for us.
const { clearTimeout, setTimeout } = require('node:timers');
const { Word } = require('./page');

/** How long results may wait: such a part of the time for which workers have enough to do, within these bounds. */
const PART = 1 / 8;
const SHORTEST_MS = 1;
const LONGEST_MS = 4;
/** Workers have enough to do for so much longer: none waits for what the program sends when it has a result. */
const LEAST_BACKLOG_US = 8000;

class Dozing {
  #native;
  #words;
  #drain;
  #rest;
  /** @type {NodeJS.Timeout | null} */
  #timer = null;
  /** Of the timer. */
  #ms = 0;

  /**
   * @param {import('../native/index').PoolQueue} native
   * @param {Int32Array} words
   * @param {() => void} drain takes what there is
   * @param {() => void} rest has the event loop told again
   */
  constructor(native, words, drain, rest) {
    this.#native = native;
    this.#words = words;
    this.#drain = drain;
    this.#rest = rest;
  }

  /** To be called when all that there was has been taken, on behalf of the event loop. */
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
