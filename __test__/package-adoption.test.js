'use strict';

// Programs written for other modules take up the installed package in the ways that README.md and
// docs/migration.md name, and behave as before.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { once } = require('node:events');
const { text } = require('node:stream/consumers');
const test = require('node:test');
const { cachePath } = require('../scripts/lib/cache');
const {
  ROOT,
  emptyProject,
  npmInstall,
  pack,
  packPrebuilt,
  pathWithoutRust,
  runOk,
} = require('./package-helpers');

const WATCHDOG_MS = 300_000;
const REGISTER = ['-r', 'manycore/register'];
const PM2 = cachePath('peers', 'pm2-7', 'node_modules', 'pm2', 'bin', 'pm2');

const EXPRESS_APP = `
const cluster = require('cluster');
const http = require('http');
const express = require('express');

if (cluster.isPrimary) {
  const workers = [cluster.fork(), cluster.fork()];
  let listening = 0;
  cluster.on('listening', async (_worker, { port }) => {
    if (++listening < workers.length) return;
    const pids = workers.map((worker) => worker.process.pid);
    for (const name of ['a', 'b', 'c', 'd']) {
      const [response] = await require('events').once(
        http.get({ port, path: '/hello/' + name, agent: false }),
        'response',
      );
      const { hello, pid } = JSON.parse((await response.setEncoding('utf8').toArray()).join(''));
      console.log(response.statusCode, hello, pids.includes(pid));
    }
    cluster.disconnect(() => console.log('disconnected'));
  });
} else {
  const app = express();
  app.get('/hello/:name', (request, response) => response.json({ hello: request.params.name, pid: process.pid }));
  app.listen(0);
}
process.on('exit', () => {
  const manycore = Object.keys(require.cache).some((file) => file.includes('/node_modules/manycore/'));
  if (cluster.isPrimary) console.log('manycore:', manycore && cluster === require('manycore').cluster);
});
`;

const PISCINA_SCRIPT = `
const path = require('path');
const { Piscina } = require('piscina');

const pool = new Piscina({ filename: path.join(__dirname, 'task.js'), minThreads: 1, maxThreads: 2, workerData: 7 });
(async () => {
  console.log(await Promise.all([1, 2, 3].map((a) => pool.run({ a, b: 10 }))));
  console.log(await pool.run({ a: 1 }, { name: 'where' }));
  await pool.run({}, { name: 'failing' }).catch((error) => console.log(error.message));
  await pool.run({}, { signal: AbortSignal.abort() }).catch((error) => console.log(error.name));
  console.log(pool.completed, pool.queueSize);
  await pool.destroy();
})();
`;

const PISCINA_TASK = `
const { isWorkerThread, workerData } = require('piscina');
module.exports = ({ a, b }) => a + b;
module.exports.where = () => [isWorkerThread, workerData];
module.exports.failing = () => { throw new Error('on purpose'); };
`;

/** Forks its worker itself; reports to a port, over a connection that ends with the process. */
const SERVER = `
const cluster = require('cluster');
const http = require('http');

if (cluster.isPrimary) {
  const report = require('net').connect(Number(process.env.REPORT_PORT), '127.0.0.1');
  const worker = cluster.fork();
  worker.on('listening', ({ port }) => {
    const manycore = Object.keys(require.cache).some((file) => file.includes('/node_modules/manycore/'));
    const adopted = manycore && cluster === require('manycore').cluster;
    report.write(JSON.stringify({ port, worker: worker.process.pid, adopted }) + '\\n');
  });
  worker.on('exit', () => process.exit());
  process.on('SIGINT', () => cluster.disconnect());
} else {
  process.on('SIGINT', () => {});
  http.createServer((request, response) => response.end(String(process.pid))).listen(0, '127.0.0.1');
}
`;

test('a program takes up the installed package', { timeout: WATCHDOG_MS }, async (t) => {
  const project = emptyProject(t);
  const tarballs = [await packPrebuilt(t), await pack(t, ROOT)];
  const { code, stdout, stderr } = await npmInstall(project, tarballs, { PATH: pathWithoutRust(t) });
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  for (const name of ['express', 'piscina']) {
    fs.symlinkSync(path.join(ROOT, 'node_modules', name), path.join(project, 'node_modules', name));
  }

  /** @param {string[]} args @param {Record<string, string>} [env] */
  const node = (args, env) => runOk(process.execPath, args, { cwd: project, env });
  const write = (name, code) => fs.writeFileSync(path.join(project, name), code);

  await t.test('an express application with a cluster, unchanged under manycore/register', async () => {
    write('app.js', EXPRESS_APP);
    const served = ['a', 'b', 'c', 'd'].map((name) => `200 ${name} true\n`).join('');
    assert.equal(await node(['app.js']), `${served}disconnected\nmanycore: false\n`);
    assert.equal(await node([...REGISTER, 'app.js']), `${served}disconnected\nmanycore: true\n`);
  });

  await t.test('a script for piscina whose require alone is changed', async () => {
    const outputs = [];
    for (const name of ['piscina', 'manycore']) {
      const changed = (code) => code.replaceAll(`require('piscina')`, `require('${name}')`);
      write('pool.js', changed(PISCINA_SCRIPT));
      write('task.js', changed(PISCINA_TASK));
      outputs.push(await node(['pool.js']));
    }
    const [before, after] = outputs;
    assert.match(before, /\[ 11, 12, 13 \]\n\[ true, 7 \]\non purpose\nAbortError\n/);
    assert.equal(after, before);
  });

  const skip = fs.existsSync(PM2) ? false : 'PM2 has not been fetched for the benchmarks';
  await t.test('a server under PM2 that forks its workers', { skip }, async (t2) => {
    write('server.js', SERVER);
    const home = path.join(project, 'pm2');
    const listener = net.createServer().listen(0, '127.0.0.1');
    t2.after(() => listener.close());
    await once(listener, 'listening');
    const { port: reportPort } = /** @type {net.AddressInfo} */ (listener.address());
    const env = { PM2_HOME: home, REPORT_PORT: String(reportPort) };
    t2.after(() => node([PM2, 'kill'], env));
    const connected = once(listener, 'connection');
    await node([PM2, 'start', 'server.js', `--node-args=${REGISTER.join(' ')}`], env);
    const [report] = await connected;
    const [line] = await once(report.setEncoding('utf8'), 'data');
    const { port, worker, adopted } = JSON.parse(line);
    assert.equal(adopted, true);
    const [response] = await once(http.get({ port, host: '127.0.0.1', agent: false }), 'response');
    assert.equal(await text(response), String(worker));
    const ended = once(report.resume(), 'end');
    await node([PM2, 'stop', 'server'], env);
    await ended;
    assert.throws(() => process.kill(worker, 0), { code: 'ESRCH' });
  });
});
