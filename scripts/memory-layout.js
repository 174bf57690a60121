'use strict';

/**
 * Generates docs/memory-layout.md from the head comments of the modules that define memory layouts, and from the records
 * that `lib/link/layout.js` defines:
 *
 *   node scripts/memory-layout.js
 */

const fs = require('node:fs');
const path = require('node:path');
const prettier = require('prettier');
const { ROOT } = require('./lib/exec');

const FILE = 'docs/memory-layout.md';
const SOURCES = 'crates/core/src';
const RECORDS = 'lib/link/layout.js';

const INTRODUCTION = `# The layout of shared memory

This page is written by \`scripts/memory-layout.js\` from the sources; do not edit it. [architecture.md](architecture.md)
explains what the parts are for.

Unless stated otherwise, a word is 64 bits in the byte order of the machine, and is accessed atomically. Whoever can map a
segment can write anything into it, so nothing that is read from one is trusted: each length, offset and tag is checked before
it is used.
`;

/** @type {[title: string, module: string][]} */
const PARTS = [
  ['Segments', 'shm/segment.rs'],
  ['The header of a shared object', 'shm/header.rs'],
  ['Owners', 'liveness.rs'],
  ['Owner locks', 'shm/owner_lock.rs'],
  ['Bells', 'shm/bell.rs'],
  ['Lanes: control words', 'ring/control.rs'],
  ['Process pools: offered tasks', 'remote/cells.rs'],
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
    .replace(/\[(`[^`\]]+`)\](\([\w:]+\))?/g, '$1')
    .replace(/^# /gm, '### ');
}

/** Returns the text of a comment. @param {string} comment */
const textOf = (comment) =>
  comment
    .replace(/^\s*\/?\*+\/?\s?/gm, '')
    .replace(/\s*\*\/$/, '')
    .trim();

/** Describes the records in a ring. */
function recordsOf() {
  const source = fs.readFileSync(path.join(ROOT, RECORDS), 'utf8');
  const [, header] = /(\/\*\*[^/]*\*\/)\nconst HEADER_BYTES/.exec(source) ?? [];
  const [, body] = /const Kind = Object\.freeze\(\{([^]*?)\}\);/.exec(source) ?? [];
  const kinds = [...(body ?? '').matchAll(/(\/\*\*.*\*\/)\n\s*(\w+): (\d+),/g)];
  if (header === undefined || kinds.length === 0) throw new Error(`${RECORDS} describes no records`);
  const rows = kinds.map(([, comment, name, value]) => `| ${value} | \`${name}\` | ${textOf(comment)} |`);
  return `${textOf(header)}\n\n${['| kind | name | meaning |', '| --- | --- | --- |', ...rows].join('\n')}`;
}

/** @returns {Promise<string>} */
async function memoryLayout() {
  const part = (/** @type {string} */ title, /** @type {string} */ file, /** @type {string} */ text) =>
    `## ${title}\n\n\`${file}\`\n\n${text}\n`;
  const parts = PARTS.map(([title, module]) => part(title, `${SOURCES}/${module}`, headOf(module)));
  const lanes = PARTS.findIndex(([title]) => title === 'Lanes: control words');
  parts.splice(lanes + 1, 0, part('Lanes: records', RECORDS, recordsOf()));
  const file = path.join(ROOT, FILE);
  const options = { ...(await prettier.resolveConfig(file)), filepath: file };
  return prettier.format([INTRODUCTION, ...parts].join('\n'), options);
}

module.exports.FILE = FILE;
module.exports.memoryLayout = memoryLayout;

if (require.main === module) {
  memoryLayout().then((text) => fs.writeFileSync(path.join(ROOT, FILE), text));
}
