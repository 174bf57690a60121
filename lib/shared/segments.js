'use strict';

/** Named segments: listing and removal. */

const { OptionNames } = require('../core/option-names');
const { guarded } = require('./failures');
const { addonFor, checkOptions, named } = require('./source');

const OPTIONS = new OptionNames('shared.unlink()', ['scope']);

function list() {
  const addon = addonFor('shared.list');
  const listed = guarded('/dev/shm', list, () => addon.listSegments());
  return listed.map(({ name, ofProcess, kind, bytes, createdMs, used }) => ({
    name,
    scope: ofProcess ? 'process' : 'host',
    kind,
    bytes,
    createdAt: new Date(createdMs),
    inUse: used,
  }));
}

function stats() {
  const segments = list();
  const sum = (/** @type {typeof segments} */ some) => some.reduce((total, { bytes }) => total + bytes, 0);
  const unused = segments.filter(({ inUse }) => !inUse);
  return {
    segments: segments.length,
    bytes: sum(segments),
    unusedSegments: unused.length,
    unusedBytes: sum(unused),
  };
}

/**
 * @param {string} name
 * @param {{ scope?: 'host' | 'process' }} [options]
 */
function unlink(name, options) {
  checkOptions(options, unlink, OPTIONS);
  const { source } = named(name, options, unlink);
  const addon = addonFor('shared.unlink');
  return guarded(name, unlink, () => addon.unlinkSegment(name, source.ofProcess === true));
}

/** Removes a segment that no process has open. Returns whether it was removed. @param {string} name */
function unlinkUnused(name) {
  const addon = addonFor('shared.unlink');
  return guarded(name, unlinkUnused, () => addon.unlinkUnusedSegment(name));
}

function prune() {
  const addon = addonFor('shared.prune');
  return guarded('/dev/shm', prune, () => addon.pruneSegments());
}

module.exports.list = list;
module.exports.stats = stats;
module.exports.unlink = unlink;
module.exports.unlinkUnused = unlinkUnused;
module.exports.prune = prune;
