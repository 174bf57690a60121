'use strict';

const { compare, summarize } = require('./statistics');

/* Turns samples into the printed tables. Nothing is omitted: figures worse than the peer's are shown as well. */

/**
 * @typedef {{ key: string, label: string, unit?: string, better: 'higher' | 'lower', digits: number }} Metric
 * `unit` follows a figure whose meaning is given elsewhere; default: the label
 * @typedef {Record<string, number>} Sample one measurement: a figure for each metric
 * @typedef {Map<string, Sample[]>} Samples by contender, one for each round
 */

/**
 * @param {Samples} samples
 * @param {readonly Metric[]} metrics
 * @param {string} peer
 */
function summarizeScenario(samples, metrics, peer) {
  return metrics.map((metric) => {
    const column = (/** @type {string} */ name) =>
      (samples.get(name) ?? []).map((sample) => sample[metric.key]);
    const rows = [...samples.keys()].map((contender) => ({
      contender,
      ...summarize(column(contender)),
      ratio: contender === peer ? null : compare(column(contender), column(peer), metric.better),
    }));
    return { ...metric, rows };
  });
}

/**
 * @param {ReturnType<typeof summarizeScenario>} metrics
 * @param {string} peer
 * @returns {string[]}
 */
function describeScenario(metrics, peer) {
  const lines = [];
  for (const { label, better, digits, rows } of metrics) {
    const format = (/** @type {number} */ value) => grouped(value, digits);
    const cells = rows.map(({ contender, median, min, max, ratio }) => [
      contender,
      format(median),
      `${format(min)}..${format(max)}`,
      contender === peer ? 'peer' : describeRatio(ratio),
    ]);
    const widths = [0, 1, 2].map((column) => Math.max(...cells.map((cell) => cell[column].length)));
    lines.push('', `  ${label} (${better} is better)`);
    for (const [contender, middle, spread, ratio] of cells) {
      lines.push(
        `    ${contender.padEnd(widths[0])}  ${middle.padStart(widths[1])}  ${spread.padStart(widths[2])}  ${ratio}`,
      );
    }
  }
  return lines;
}

/** @param {ReturnType<typeof compare>} ratio */
function describeRatio(ratio) {
  if (!ratio) return '-';
  const spread = `${ratio.min.toFixed(2)}..${ratio.max.toFixed(2)}`;
  return `x${ratio.median.toFixed(2)} (${spread}) ${ratio.verdict}`;
}

/**
 * @param {number} value
 * @param {number} digits after the point
 */
function grouped(value, digits) {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

module.exports.summarizeScenario = summarizeScenario;
module.exports.describeScenario = describeScenario;
module.exports.grouped = grouped;
