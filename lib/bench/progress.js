'use strict';

const WIDTH = 40;

/** A progress bar on a terminal; nothing anywhere else. */
class Progress {
  #stream;
  #total;
  #done = 0;

  /**
   * @param {{ isTTY?: boolean, write(text: string): unknown }} stream
   * @param {number} total steps
   */
  constructor(stream, total) {
    this.#stream = stream;
    this.#total = total;
  }

  /** Shows what is being done. @param {string} label */
  show(label) {
    if (this.#stream.isTTY !== true) return;
    const share = this.#done / this.#total;
    const filled = Math.round(share * WIDTH);
    const bar = '█'.repeat(filled) + '░'.repeat(WIDTH - filled);
    this.#stream.write(`\r\x1b[K${bar} ${Math.floor(share * 100)} % ${label}`);
  }

  /** One step more is done. */
  step() {
    this.#done++;
  }

  /** Leaves the line free. */
  clear() {
    if (this.#stream.isTTY === true) this.#stream.write('\r\x1b[K');
  }
}

module.exports.Progress = Progress;
