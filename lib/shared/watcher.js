'use strict';

const { EventEmitter } = require('node:events');
const { KeepAlive } = require('./bell');

/** Emits the changes of one key, see types/shared.d.ts. */
class MapWatcher extends EventEmitter {
  #map;
  #key;
  #listeners;
  #version;
  #alive = new KeepAlive();
  #look = () => this.#compare();
  #isClosed = false;

  /**
   * @param {import('./map').SharedMap} map
   * @param {import('./map').Key} key
   * @param {import('./bell').Listeners} listeners
   */
  constructor(map, key, listeners) {
    super();
    this.#map = map;
    // The program may go on to use its buffer for something else.
    this.#key = typeof key === 'object' ? new Uint8Array(key) : key;
    this.#listeners = listeners;
    this.#version = map.getVersioned(key)?.version ?? 0;
    listeners.add(this.#look);
    this.#alive.hold();
  }

  #compare() {
    let current;
    try {
      current = this.#map.getVersioned(this.#key);
    } catch (error) {
      const { code } = /** @type {NodeJS.ErrnoException} */ (error);
      this.close();
      if (code !== 'ERR_MANYCORE_CLOSED') this.emit('error', error);
      return;
    }
    const version = current?.version ?? 0;
    if (version === this.#version) return;
    this.#version = version;
    this.emit('change', current === undefined ? undefined : current.value, version);
  }

  ref() {
    if (!this.#isClosed) this.#alive.hold();
    return this;
  }

  unref() {
    this.#alive.release();
    return this;
  }

  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#alive.release();
    this.#listeners.delete(this.#look);
    this.emit('close');
  }

  [Symbol.dispose ?? Symbol.for('nodejs.dispose')]() {
    this.close();
  }
}

module.exports.MapWatcher = MapWatcher;
