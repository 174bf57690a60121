'use strict';

/** Reporter for `node --test`: prints the files in which a test failed, one per line. */

const path = require('node:path');

/** @param {AsyncIterable<{ type: string, data: { file?: string } }>} events */
module.exports = async function* failedFiles(events) {
  const told = new Set();
  for await (const { type, data } of events) {
    if (type !== 'test:fail' || !data.file || told.has(data.file)) continue;
    told.add(data.file);
    yield `${path.relative(process.cwd(), data.file)}\n`;
  }
};
