'use strict';

/* Counts events of the soak test, and collects violated expectations. */

/** The first ones are the most informative. */
const MOST_COMPLAINTS = 20;

/** @type {Record<string, number>} */
const counts = {};
/** @type {string[]} */
const complaints = [];

/** @param {string} what */
function count(what, by = 1) {
  counts[what] = (counts[what] ?? 0) + by;
}

/** @param {boolean} holds @param {string} complaint */
function check(holds, complaint) {
  if (!holds && complaints.length < MOST_COMPLAINTS) complaints.push(complaint);
}

module.exports.count = count;
module.exports.check = check;
module.exports.accounts = () => counts;
module.exports.complaints = () => complaints;
