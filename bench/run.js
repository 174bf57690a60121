'use strict';

/*
 * Runs one of the benchmarks in this folder:
 *
 *   node bench/run.js NAME [options]     node bench/run.js NAME --help
 */

const fs = require('node:fs');
const path = require('node:path');
const { spawnSync } = require('node:child_process');

const names = fs
  .readdirSync(__dirname)
  .filter((file) => file.endsWith('.js') && file !== path.basename(__filename))
  .map((file) => path.basename(file, '.js'));
const [name, ...args] = process.argv.slice(2);

if (names.includes(name)) {
  const file = path.join(__dirname, `${name}.js`);
  const { status, signal } = spawnSync(process.execPath, [file, ...args], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
  if (signal) console.error(`${name} was ended by ${signal}`);
} else {
  console.error(`Usage: node bench/run.js NAME [options]\nNAME is one of: ${names.join(', ')}`);
  process.exitCode = 2;
}
