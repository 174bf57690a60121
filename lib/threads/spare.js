'use strict';

/** In a spare: waits, inside of Node's own start of the script, for what is to be run. See `spares.js`. */

const Module = /** @type {any} */ (require('node:module'));
const path = require('node:path');
const vm = require('node:vm');
const workerThreads = /** @type {any} */ (require('node:worker_threads'));

const { nodes, revived } = require('./preload');

const EVAL = '[worker eval]';
const REHEARSAL = path.join(__dirname, 'rehearsal.js');
/**
 * @param {Int32Array} wakeUp
 */
function prepare(wakeUp) {
  rehearse();
  rehearseStart();
  const { runMain } = Module;
  // Node looks up this method to run the script with it: that is where the thread waits. What it gets is the same
  // method, bound to another script, so that no function of ours is in the way of the program.
  Object.defineProperty(Module, 'runMain', {
    configurable: true,
    enumerable: true,
    get() {
      Object.defineProperty(Module, 'runMain', {
        configurable: true,
        enumerable: true,
        writable: true,
        value: runMain,
      });
      return begin(wait(wakeUp), runMain);
    },
  });
}

/**
 * @param {Int32Array} wakeUp
 * @returns {import('./spares').Job}
 */
function wait(wakeUp) {
  while (Atomics.load(wakeUp, 0) === 0) Atomics.wait(wakeUp, 0, 0);
  return workerThreads.receiveMessageOnPort(workerThreads.parentPort).message;
}

/**
 * Makes the thread what it would be had it been started with this job; returns what runs the script.
 * @param {import('./spares').Job} job
 * @param {Function} runMain
 */
function begin(job, runMain) {
  for (const key of job.dropped) workerThreads.setEnvironmentData(key, undefined);
  for (const [key, value] of job.environmentData) workerThreads.setEnvironmentData(key, value);
  workerThreads.workerData = revived(job.workerData);
  if (job.env !== null) {
    for (const name of Object.keys(process.env)) if (!Object.hasOwn(job.env, name)) delete process.env[name];
    Object.assign(process.env, job.env);
  }
  process.argv.splice(1, Infinity, job.eval ? EVAL : job.filename, ...job.argv);
  Module.syncBuiltinESMExports();
  // Expressions of ours leave no trace in RegExp.$1 and the like.
  /^/.exec('');
  return job.eval ? evaluate.bind(undefined, job.filename) : runMain.bind(Module, job.filename);
}

/** @param {string} source */
function evaluate(source) {
  Object.defineProperty(process, '_eval', { configurable: true, enumerable: true, value: source });
  const module = new Module(EVAL);
  const folder = process.cwd();
  module.filename = path.join(folder, EVAL);
  module.paths = Module._nodeModulePaths(folder);
  const globals = /** @type {any} */ (globalThis);
  globals.__filename = EVAL;
  // Run from within the wrapper, whose frame is part of the stack in Node's workers.
  const wrapper = `
      ${['module', 'exports', '__dirname', 'require'].map((name) => `globalThis.${name} = ${name};`).join('\n')}
      return (main) => main();`;
  module._compile(
    wrapper,
    `${EVAL}-wrapper`,
  )(() => scriptOf(source).runInThisContext({ displayErrors: true }));
}

/** @param {string} source */
function scriptOf(source) {
  const { constants } = /** @type {any} */ (vm);
  return new vm.Script(source, {
    filename: EVAL,
    importModuleDynamically: constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
}

/** What goes by between being woken and the first message of a script: run once, it runs faster the next time. */
function rehearseStart() {
  workerThreads.receiveMessageOnPort(workerThreads.parentPort);
  const job = { filename: '', eval: false, argv: [], workerData: undefined, env: null };
  begin({ ...job, environmentData: new Map(), dropped: [] }, () => {});
  Module._load(REHEARSAL, null, false)(nodes.MessageChannel);
  delete Module._cache[REHEARSAL];
}

/** Has what later runs loaded, and lets Node warn of what it holds experimental: programs have not asked for it. */
function rehearse() {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    scriptOf("import('node:vm');").runInThisContext();
  } finally {
    process.emitWarning = emitWarning;
  }
}

module.exports.prepare = prepare;
