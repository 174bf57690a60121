'use strict';

/**
 * Warns of options that do not exist: a misspelt option would otherwise have no effect, and nobody would notice. Each
 * is reported once, in each thread.
 */

/** Code of the warning, for `--disable-warning` and `'warning'` listeners. */
const WARNING_CODE = 'MANYCORE_UNKNOWN_OPTION';
/** Units that names of options end with. */
const UNITS = ['ms', 'bytes'];
/** Shorter names are part of too many others. */
const SHORTEST_PART = 5;

/** @type {Set<string>} */
const warned = new Set();

/** The options that something has. */
class OptionNames {
  #owner;
  #known;

  /**
   * @param {string} owner what has the options, for the message
   * @param {Iterable<string>} names
   */
  constructor(owner, names) {
    this.#owner = owner;
    this.#known = new Set(names);
  }

  /** Warns of all options that are not known. @param {any} given */
  check(given) {
    for (const name in given) {
      if (!this.#known.has(name) && given[name] !== undefined) this.#warn(name, similarTo(name, this.#known));
    }
  }

  /**
   * Warns of unknown options that resemble known ones, for options that may also be those of others: of Node, or of a
   * library that a program used before.
   * @param {any} given
   */
  checkSpelling(given) {
    for (const name in given) {
      if (this.#known.has(name) || given[name] === undefined) continue;
      const similar = similarTo(name, this.#known);
      if (similar.length > 0) this.#warn(name, similar);
    }
  }

  /**
   * @param {string} name
   * @param {string[]} similar
   */
  #warn(name, similar) {
    const key = `${this.#owner} ${name}`;
    if (warned.has(key)) return;
    warned.add(key);
    const hint =
      similar.length > 0 ? `did you mean ${listed(similar)}?` : `there are ${[...this.#known].join(', ')}`;
    const about = `${this.#owner} has no option '${name}', so it has no effect: ${hint}`;
    process.emitWarning(about, { code: WARNING_CODE });
  }
}

/** @param {string[]} names */
function listed(names) {
  const quoted = names.map((name) => `'${name}'`);
  return quoted.length === 1 ? quoted[0] : `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`;
}

/**
 * Returns the known names that a name may stand for: the closest one, or else those that it is a part of.
 * @param {string} name
 * @param {Iterable<string>} known
 * @returns {string[]}
 */
function similarTo(name, known) {
  const given = name.toLowerCase();
  const most = Math.min(2, Math.floor(name.length / 3));
  /** @type {[string, number][]} */
  const close = [];
  const parts = [];
  for (const candidate of known) {
    const other = candidate.toLowerCase();
    const isUnitMissing = UNITS.some((unit) => other === given + unit || given === other + unit);
    const count = other === given || isUnitMissing ? 0 : edits(given, other);
    if (count <= most) close.push([candidate, count]);
    else if (given.length >= SHORTEST_PART && other.includes(given)) parts.push(candidate);
  }
  const least = Math.min(...close.map(([, count]) => count));
  return close.length > 0 ? close.filter(([, count]) => count === least).map(([each]) => each) : parts;
}

/**
 * Returns how many insertions, deletions, substitutions and swaps of neighbours turn one text into another.
 * @param {string} from
 * @param {string} to
 */
function edits(from, to) {
  /** @type {number[][]} */
  const table = [Array.from({ length: to.length + 1 }, (_, i) => i)];
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    table.push(row);
    for (let j = 1; j <= to.length; j++) {
      const replaced = table[i - 1][j - 1] + (from[i - 1] === to[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, table[i - 1][j] + 1, row[j - 1] + 1));
      const isSwap = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      if (isSwap) row[j] = Math.min(row[j], table[i - 2][j - 2] + 1);
    }
  }
  return table[from.length][to.length];
}

module.exports.OptionNames = OptionNames;
