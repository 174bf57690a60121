'use strict';

const WIDTH = 40;

/** A progress bar on a terminal; no output elsewhere. */
class Progress {
  #stream;
  #total;
  #done = 0;

  /**
   * @param {{ isTTY?: boolean, write(text: string): unknown }} stream
   * @param {number} total number of steps
   */
  constructor(stream, total) {
    this.#stream = stream;
    this.#total = total;
  }

  /** Shows the current step. @param {string} label */
  show(label) {
    if (this.#stream.isTTY !== true) return;
    const share = this.#done / this.#total;
    const filled = Math.round(share * WIDTH);
    const bar = '█'.repeat(filled) + '░'.repeat(WIDTH - filled);
    this.#stream.write(`\r\x1b[K${bar} ${Math.floor(share * 100)} % ${label}`);
  }

  /** Completes a step. */
  step() {
    this.#done++;
  }

  /** Clears the line. */
  clear() {
    if (this.#stream.isTTY === true) this.#stream.write('\r\x1b[K');
  }
}

module.exports.Progress = Progress;
