'use strict';

// `npm start` in a prepared checkout, and how it ends.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const { ROOT } = require('./package-helpers');
const { Program } = require('./support/program');

/** npm's main script, so that it runs on the Node under test. */
function npmProgram() {
  const npm = process.env.PATH.split(':')
    .map((folder) => path.join(folder, 'npm'))
    .find((file) => fs.existsSync(file));
  return fs.realpathSync(npm);
}

/** @param {string} stdout @param {RegExp} pattern */
const pids = (stdout, pattern) => [...stdout.matchAll(pattern)].map((match) => Number(match[1]));

const isAlive = (pid) => fs.existsSync(`/proc/${pid}`);

for (const [name, send] of [
  ['Ctrl-C', (program) => program.signalGroup('SIGINT')],
  ['SIGTERM to npm', (program) => program.process.kill('SIGTERM')],
]) {
  test(`npm start serves requests, and ${name} stops all processes`, async (t) => {
    const program = new Program([npmProgram(), 'start'], { cwd: ROOT, env: { PORT: '0' } });
    t.after(() => program.kill());
    const [, port] = await program.printed(/^http:\/\/localhost:(\d+) /m);
    await program.printed(/ready, Ctrl-C to stop/);
    const response = await fetch(`http://127.0.0.1:${port}/`);
    assert.equal(await response.text(), 'Hello!');

    const workers = pids(program.stdout, /^worker (\d+) listening$/gm);
    assert.ok(workers.length > 0);
    send(program);
    await program.ended();
    assert.deepEqual(pids(program.stdout, /^worker (\d+) served \d+$/gm).sort(), workers.sort());
    assert.deepEqual(workers.filter(isAlive), []);
  });
}
