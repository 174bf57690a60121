'use strict';

/*
 * What `npm run bench` measures, section by section: the benchmarks to run and with which options, what of them
 * the document puts at its head, and the curves it draws.
 */

/**
 * @typedef {object} Step one run of a benchmark of bench/
 * @property {string} benchmark
 * @property {string[]} [args] of a full run
 * @property {string[]} [quick] added to them in a quick one
 * @property {number} [node] the major version to run it with; default: the running one
 *
 * @typedef {object} Headline
 * @property {string} what
 * @property {number} [step] default: the first
 * @property {string} scenario
 * @property {string} contender ours
 * @property {string} peer
 * @property {string} [peerScenario] what the peer did meanwhile; default: the same
 * @property {string} metric
 * @property {number} target what is aimed at: at least that, or at most where the metric is better lower
 * @property {'ratio' | 'figure'} [of] whether that is a ratio to the peer (the default) or a figure of ours
 *
 * @typedef {object} Curve how a figure changes with a size
 * @property {string} id the name of its picture
 * @property {string} title
 * @property {string} x what grows
 * @property {string} benchmark
 * @property {string} metric
 * @property {string[]} contenders
 * @property {{ x: number, scenario: string, args?: string[] }[]} points
 * @property {number[]} [quick] the points of a quick run, by their x
 *
 * @typedef {object} Section
 * @property {string} id
 * @property {string} title
 * @property {string} text
 * @property {Step[]} steps
 * @property {Headline[]} headlines
 * @property {Curve[]} [curves]
 */

/** @type {Section[]} */
const PLAN = ['connections', 'messages', 'threads', 'memory'].flatMap(
  (name) => require(`./plan/${name}`).sections,
);

module.exports.PLAN = PLAN;
