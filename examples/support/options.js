'use strict';

const path = require('node:path');
const { parseArgs } = require('node:util');

/*
 * The command line of the examples: `--quick` for a small run, `--threads N`, `--out DIR`, and one optional argument.
 */

/** Default output folder; not under version control. */
const OUT = path.join(__dirname, '..', 'out');

/**
 * @param {number} threadsByDefault
 * @returns {{ quick: boolean, threads: number, out: string, argument: string | undefined }}
 */
function options(threadsByDefault) {
  try {
    const { values, positionals } = parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        threads: { type: 'string' },
        out: { type: 'string', default: OUT },
      },
      allowPositionals: true,
    });
    const threads = positive('--threads', values.threads ?? String(threadsByDefault));
    if (positionals.length > 1) throw new Error(`One argument at most, not ${positionals.length}`);
    return { quick: values.quick === true, threads, out: String(values.out), argument: positionals[0] };
  } catch (error) {
    fail(/** @type {Error} */ (error).message);
  }
}

/**
 * @param {string} name for the message
 * @param {string} text
 */
function positive(name, text) {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1) {
    fail(`${name} takes a whole number from 1 up, not '${text}'`);
  }
  return number;
}

/**
 * Ends the program because of invalid command line arguments.
 * @param {string} message
 * @returns {never}
 */
function fail(message) {
  console.error(message);
  process.exit(2);
}

module.exports.options = options;
module.exports.positive = positive;
