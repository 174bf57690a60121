'use strict';

/**
 * Returns the quantile of sorted values by the nearest-rank method.
 * @param {ArrayLike<number>} sorted ascending, not empty
 * @param {number} share from 0 to 1
 */
function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))];
}

/**
 * Returns the middle value, or the mean of the two middle ones.
 * @param {readonly number[]} values not empty
 */
function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * @param {readonly number[]} values not empty
 * @returns {{ median: number, min: number, max: number }}
 */
function summarize(values) {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/**
 * Compares a contender with the peer, round by round, since both ran in the same minute of the same session.
 *
 * The verdict requires all rounds to agree; it is `unclear` if some ratios are above one and some below.
 * @param {readonly number[]} own by round
 * @param {readonly number[]} peer by round
 * @param {'higher' | 'lower'} better
 * @returns {{ median: number, min: number, max: number, verdict: 'better' | 'worse' | 'unclear' } | null} null if
 * the peer's figure is 0, so that there is no ratio
 */
function compare(own, peer, better) {
  if (peer.some((value) => value === 0)) return null;
  const ratios = own.map((value, round) => value / peer[round]);
  const summary = summarize(ratios);
  let verdict = /** @type {'better' | 'worse' | 'unclear'} */ ('unclear');
  if (summary.min > 1) verdict = better === 'higher' ? 'better' : 'worse';
  if (summary.max < 1) verdict = better === 'higher' ? 'worse' : 'better';
  return { ...summary, verdict };
}

module.exports.quantile = quantile;
module.exports.median = median;
module.exports.summarize = summarize;
module.exports.compare = compare;
