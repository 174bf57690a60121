'use strict';

/**
 * Values by increasing number: pending requests. Most are removed before as many others as there are places have
 * been added; older ones are moved to a Map. A Map alone costs more: with few entries that come and go, it is
 * rehashed almost every time.
 */

/** A power of two. */
const PLACES = 256;

/** @template T */
class Numbered {
  /** @type {number[]} */
  #numbers = [];
  /** @type {(T | undefined)[]} */
  #values = [];
  /** Entries displaced by newer ones. @type {Map<number, T>} */
  #aside = new Map();
  /** Number of entries. */
  size = 0;

  /**
   * @param {number} number
   * @param {T} value
   */
  set(number, value) {
    if (this.#values.length === 0) this.#makePlaces();
    if (this.has(number)) this.take(number);
    const at = number & (PLACES - 1);
    const before = this.#values[at];
    if (before !== undefined) this.#aside.set(this.#numbers[at], before);
    this.#numbers[at] = number;
    this.#values[at] = value;
    this.size++;
  }

  /** @param {number} number */
  has(number) {
    return this.get(number) !== undefined;
  }

  /** @param {number} number */
  get(number) {
    const at = number & (PLACES - 1);
    if (this.#numbers[at] === number) return this.#values[at];
    return this.#aside.size === 0 ? undefined : this.#aside.get(number);
  }

  /**
   * Removes a value and returns it.
   * @param {number} number
   */
  take(number) {
    const value = this.get(number);
    if (value === undefined) return undefined;
    const at = number & (PLACES - 1);
    if (this.#numbers[at] === number) this.#values[at] = undefined;
    else this.#aside.delete(number);
    this.size--;
    return value;
  }

  /** Removes all values and returns them, oldest first. @returns {T[]} */
  takeAll() {
    const all = [...this.#aside];
    this.#values.forEach((value, at) => value !== undefined && all.push([this.#numbers[at], value]));
    this.#aside.clear();
    this.#values.fill(undefined);
    this.size = 0;
    return all.sort(([one], [other]) => (one - other) | 0).map(([, value]) => value);
  }

  #makePlaces() {
    this.#numbers = new Array(PLACES).fill(0);
    this.#values = new Array(PLACES).fill(undefined);
  }
}

module.exports.Numbered = Numbered;
