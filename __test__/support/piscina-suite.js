'use strict';

/*
 * piscina's own tests, included in its package, run against our class: they are copied into a folder in which `..`
 * is a stand-in, with the types removed.
 */

const fs = require('node:fs');
const path = require('node:path');
const { execFileSync, spawn } = require('node:child_process');

const { Pool } = require('../..');

const ROOT = path.join(__dirname, '../..');
const PEER = path.join(ROOT, 'node_modules/piscina');
const ENTRY = JSON.stringify(ROOT);

/** Files that replace piscina's. @type {Record<string, string>} */
const STAND_INS = {
  'dist/main.js': `module.exports = require(${ENTRY}).Pool;`,
  'dist/main.mjs': `import theirs from './main.js';
    export default theirs;
    export const { ${staticNames().join(', ')} } = theirs;`,
  'dist/index.js': `const { Pool } = require(${ENTRY});
    Object.defineProperty(exports, '__esModule', { value: true });
    Object.defineProperties(exports, Object.getOwnPropertyDescriptors(Pool));`,
  'dist/symbols.js': `const { Pool } = require(${ENTRY});
    exports.kQueueOptions = Pool.queueOptionsSymbol;`,
  'dist/common.js': `exports.getAvailableParallelism = require('node:os').availableParallelism;`,
  // Only types of these are used.
  'dist/worker_pool/index.js': '',
  // Dependencies of the tests that are not dependencies of this package.
  'node_modules/abort-controller/index.js': `exports.AbortController = AbortController;`,
  'node_modules/@napi-rs/nice/index.js': `const { readFileSync } = require('node:fs');
    const PRIORITY = 18;
    exports.getCurrentProcessPriority = () => {
      const [, after] = readFileSync('/proc/thread-self/stat', 'latin1').split(/\\) (.*)/);
      return Number(after.split(' ')[PRIORITY - 2]);
    };`,
  'node_modules/concat-stream/index.js': `const { Writable } = require('node:stream');
    module.exports = (done) => {
      let all = '';
      return new Writable({
        decodeStrings: false,
        write: (chunk, _, next) => ((all += chunk), next()),
        final: (next) => (done(all), next()),
      });
    };`,
  // The types have already been removed.
  'typed.js': `const Module = require('node:module');
    Module._extensions['.ts'] = (module, file) =>
      module._compile(require('node:fs').readFileSync(file, 'utf8'), file);`,
};

/** Returns the names of the static members, all of which piscina also exports by name. */
function staticNames() {
  const ofAll = new Set(Object.getOwnPropertyNames(class {}).concat('default'));
  return Object.getOwnPropertyNames(Pool).filter((name) => !ofAll.has(name));
}

/** Creates the folder. @param {string} folder */
function prepare(folder) {
  const write = (/** @type {string} */ name, /** @type {string} */ text) => {
    const file = path.join(folder, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  };
  for (const [name, text] of Object.entries(STAND_INS)) write(name, text);
  const { version } = require('../../package.json');
  const exports = { import: './dist/main.mjs', require: './dist/main.js' };
  write('package.json', JSON.stringify({ name: 'piscina', version, main: './dist/main.js', exports }));
  fs.cpSync(path.join(PEER, 'test'), path.join(folder, 'test'), { recursive: true });
  takeTypesOut(path.join(folder, 'test'));
  return fs.readdirSync(path.join(folder, 'test')).filter((name) => name.endsWith('.test.ts'));
}

/** Compiles each file, and keeps its name. @param {string} folder */
function takeTypesOut(folder) {
  const out = `${folder}-compiled`;
  const compilerOptions = {
    module: 'commonjs',
    target: 'es2022',
    esModuleInterop: true,
    isolatedModules: true,
    noCheck: true,
    noResolve: true,
    types: [],
    rootDir: '.',
    outDir: out,
  };
  const config = path.join(folder, 'tsconfig.json');
  fs.writeFileSync(config, JSON.stringify({ compilerOptions, include: ['.'] }));
  execFileSync(process.execPath, [path.join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', config]);
  for (const name of /** @type {string[]} */ (fs.readdirSync(out, { recursive: true }))) {
    if (!name.endsWith('.js')) continue;
    fs.renameSync(path.join(out, name), path.join(folder, name.replace(/\.js$/, '.ts')));
  }
}

/**
 * Runs one of the files.
 * @param {string} folder
 * @param {string} name
 * @returns {Promise<{ passed: string[], failed: string[], output: string }>} names of tests
 */
async function runFile(folder, name) {
  const args = ['--require', path.join(folder, 'typed.js'), '--test-reporter=tap', path.join('test', name)];
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
  const child = spawn(process.execPath, args, { cwd: folder, env, timeout: 120_000, killSignal: 'SIGKILL' });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk) => (output += chunk));
  }
  await new Promise((resolve) => child.once('close', resolve));
  const named = (/** @type {RegExp} */ line) => [...output.matchAll(line)].map(([, found]) => found);
  return {
    passed: named(/^ok \d+ - ((?:(?! # (?:SKIP|TODO)).)*)$/gm),
    failed: named(/^not ok \d+ - (.*)$/gm),
    output,
  };
}

module.exports.prepare = prepare;
module.exports.runFile = runFile;
