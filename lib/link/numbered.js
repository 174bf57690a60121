'use strict';

/**
 * Values by numbers that go up by one: requests that are under way. Most are gone again when as many others as there
 * are places have come; what stays longer is moved aside. A Map costs more: where few come and go, it is made anew,
 * smaller or larger, with almost each of them.
 */

/** A power of two. */
const PLACES = 256;

/** @template T */
class Numbered {
  /** @type {number[]} */
  #numbers = [];
  /** @type {(T | undefined)[]} */
  #values = [];
  /** What gave way to others. @type {Map<number, T>} */
  #aside = new Map();
  /** How many there are. */
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
   * Takes a value out.
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

  /** Takes all out, those that came first first. @returns {T[]} */
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
