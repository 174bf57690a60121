'use strict';

// Two copies of the package in one tree of dependencies.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const { ROOT, runOk, scratchFolder } = require('./package-helpers');

/** A program for node:cluster and node:worker_threads, or for what takes their place. */
const PROGRAM = `
const { cluster, Worker } = process.argv[2] === undefined
  ? { cluster: require('node:cluster'), ...require('node:worker_threads') }
  : require(process.argv[2]);
if (cluster.isPrimary) {
  const child = cluster.fork();
  child.send('of the cluster');
  child.once('message', (message) => {
    console.log(message);
    child.disconnect();
  });
  child.on('exit', () => {
    const worker = new Worker(
      "const { parentPort } = require('node:worker_threads');" +
        "parentPort.on('message', (value) => parentPort.postMessage(value));",
      { eval: true },
    );
    worker.on('message', (value) => {
      if (value !== 199) return;
      console.log('of a thread');
      worker.terminate();
    });
    for (let i = 0; i < 200; i++) worker.postMessage(i);
  });
} else {
  process.once('message', (message) => process.send(message));
}`;

function copy(t) {
  const folder = scratchFolder(t);
  for (const name of ['index.js', 'register.js', 'package.json', 'lib']) {
    fs.cpSync(path.join(ROOT, name), path.join(folder, name), { recursive: true });
  }
  return folder;
}

test('one copy is registered, or two are, and either is used', async (t) => {
  const [one, two] = [copy(t), copy(t)];
  const program = path.join(one, 'program.js');
  fs.writeFileSync(program, PROGRAM);
  const register = (/** @type {string} */ folder) => ['-r', path.join(folder, 'register.js')];
  for (const args of [
    [...register(one), program, two],
    [...register(one), ...register(two), program],
    [...register(one), ...register(two), program, one],
    [...register(one), ...register(two), program, two],
  ]) {
    assert.equal(await runOk(process.execPath, args), 'of the cluster\nof a thread\n', args.join(' '));
  }
});
