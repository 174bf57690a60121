'use strict';

/**
 * Generates docs/memory-layout.md from the head comments of the modules that define memory layouts:
 *
 *   node scripts/memory-layout.js
 */

const fs = require('node:fs');
const path = require('node:path');
const prettier = require('prettier');
const { ROOT } = require('./lib/exec');

const FILE = 'docs/memory-layout.md';
const SOURCES = 'crates/core/src';

const INTRODUCTION = `# The layout of shared memory

This page is written by \`scripts/memory-layout.js\` from the heads of the modules that lay the memory out; do not edit it.

A word is 64 bits in the machine's order of bytes. All words are accessed as atomics. Whoever may map a segment may write
anything into it, so nothing that is read from one is trusted: each length, offset and tag is checked before it is used.
`;

/** @type {[title: string, module: string][]} */
const PARTS = [
  ['Segments', 'shm/segment.rs'],
  ['The header of a shared object', 'shm/header.rs'],
  ['Owners', 'liveness.rs'],
  ['Owner locks', 'shm/owner_lock.rs'],
  ['Lanes: control words', 'ring/control.rs'],
  ['The scoreboard of a cluster', 'accept/scoreboard.rs'],
  ['SharedMap: a shard', 'table/shard.rs'],
  ['SharedMap: an entry', 'table/entry.rs'],
  ['SharedMap: overwriting', 'table/overwrite.rs'],
  ['SharedMap: the arena', 'table/arena.rs'],
  ['SharedArray', 'array/mod.rs'],
  ['SharedArray: values', 'array/values.rs'],
  ['SharedHistogram', 'histogram/shared.rs'],
  ['RateLimiter', 'limit/limiter.rs'],
  ['RateLimiter: keys', 'limit/slots.rs'],
  ['Channel and Topic', 'channel/ring.rs'],
  ['Locks', 'lock/layout.rs'],
];

/** Returns the head comment of a module, without links into the code. @param {string} module */
function headOf(module) {
  const lines = fs.readFileSync(path.join(ROOT, SOURCES, module), 'utf8').split('\n');
  const head = lines.slice(
    0,
    lines.findIndex((line) => !line.startsWith('//!')),
  );
  if (head.length === 0) throw new Error(`${module} has no head`);
  return head
    .map((line) => line.slice('//! '.length))
    .join('\n')
    .replace(/\[(`[^`\]]+`)\](\([\w:]+\))?/g, '$1');
}

/** @returns {Promise<string>} */
async function memoryLayout() {
  const parts = PARTS.map(
    ([title, module]) => `## ${title}\n\n\`${SOURCES}/${module}\`\n\n${headOf(module)}\n`,
  );
  const file = path.join(ROOT, FILE);
  const options = { ...(await prettier.resolveConfig(file)), filepath: file };
  return prettier.format([INTRODUCTION, ...parts].join('\n'), options);
}

module.exports.FILE = FILE;
module.exports.memoryLayout = memoryLayout;

if (require.main === module) {
  memoryLayout().then((text) => fs.writeFileSync(path.join(ROOT, FILE), text));
}
