'use strict';

const { guarded } = require('./failures');
const source = require('./source');
const { NOWHERE, addonFor, checkOptions, defineHandle, handed, named, numberOption } = source;

const KIND = 'buffer';
const OPTIONS = source.optionNames('SharedBuffer', 'byteLength');
const MAX_BYTES = 2 ** 40;

/** Bytes in shared memory, see types/shared.d.ts. */
class SharedBuffer {
  #native;
  #subject;
  /** @type {SharedArrayBuffer | ArrayBuffer | undefined} */
  #buffer;

  /**
   * @param {any} options
   * @param {import('./source').Place} [place]
   */
  constructor(options, place = NOWHERE) {
    const origin = new.target;
    // Only an existing buffer can be opened without a length.
    const opens = place.source.handle !== undefined || place.source.create === 0;
    const bytes = numberOption('options.byteLength', checkOptions(options, origin, OPTIONS).byteLength, {
      fallback: opens ? 0 : NaN,
      min: 1,
      max: MAX_BYTES,
      origin,
    });
    const { SharedMemory } = addonFor('SharedBuffer');
    this.#subject = place.subject;
    this.#native = guarded(place.subject, origin, () => SharedMemory.open(place.source, bytes));
    defineHandle(this, KIND, (form) => guarded(this.#subject, SharedBuffer, () => this.#native[form]));
  }

  /**
   * @param {string} name
   * @param {any} [options]
   */
  static open(name, options) {
    return new SharedBuffer(options, named(name, options, SharedBuffer.open));
  }

  /** @param {unknown} handle */
  static from(handle) {
    return new SharedBuffer(undefined, handed(handle, KIND, SharedBuffer.from));
  }

  get byteLength() {
    return this.#native.length;
  }

  get buffer() {
    this.#buffer ??= /** @type {any} */ (guarded(this.#subject, SharedBuffer, () => this.#native.buffer()));
    return /** @type {SharedArrayBuffer | ArrayBuffer} */ (this.#buffer);
  }

  close() {
    this.#native.close();
    this.#buffer = undefined;
  }

  [Symbol.dispose ?? Symbol.for('nodejs.dispose')]() {
    this.close();
  }
}

module.exports.SharedBuffer = SharedBuffer;
