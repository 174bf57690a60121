'use strict';

/*
 * What `npm run bench` measures, by section: the benchmarks to run and their options, the headlines at the top of
 * the document, and the curves.
 */

/**
 * @typedef {object} Step one run of a benchmark of bench/
 * @property {string} benchmark
 * @property {string[]} [args] options of a full run
 * @property {string[]} [quick] options added in a quick run
 * @property {number} [node] the major version to run it with; default: the running one
 *
 * @typedef {object} Headline
 * @property {string} what
 * @property {number} [step] default: the first
 * @property {string} scenario
 * @property {string} contender ours
 * @property {string} peer
 * @property {string} [peerScenario] scenario of the peer; default: the same
 * @property {string} metric
 * @property {number} target a minimum, or a maximum if lower is better
 * @property {'ratio' | 'figure'} [of] whether the target is a ratio to the peer (the default) or an absolute figure
 *
 * @typedef {object} Curve a figure as a function of a size
 * @property {string} id file name of the picture
 * @property {string} title
 * @property {string} text how the cost grows, and why
 * @property {string} x label of the x axis
 * @property {string} benchmark
 * @property {string} metric
 * @property {string[]} contenders
 * @property {{ x: number, scenario: string, args?: string[] }[]} points
 * @property {number[]} [quick] x values of a quick run
 * @property {string[]} [quickArgs] options added in a quick run
 *
 * @typedef {object} Section
 * @property {string} id
 * @property {string} title
 * @property {string} text
 * @property {Record<string, string>} [scenarios] what is done in each scenario
 * @property {Step[]} steps
 * @property {Headline[]} headlines
 * @property {Curve[]} [curves]
 */

/** @type {Section[]} */
const PLAN = ['connections', 'messages', 'threads', 'memory'].flatMap(
  (name) => require(`./plan/${name}`).sections,
);

module.exports.PLAN = PLAN;
