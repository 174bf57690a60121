'use strict';

/** Spare side: waits for its job inside Node's own start of the main script. See `spares.js`. */

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
  // Node looks this method up to run the script; the thread waits in that look-up. Node gets the same method, bound
  // to another script, so that no function of ours is on the program's stack.
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
 * Puts the thread into the state it would have if it had been started with this job. Returns the function that runs
 * the script.
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
  // Clears traces of our expressions in RegExp.$1 and the like.
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
  // Run from within the wrapper, whose frame is part of the stack trace in Node's workers.
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

/** Runs once what happens between the wake-up and a script's first message, so that it is compiled when it counts. */
function rehearseStart() {
  workerThreads.receiveMessageOnPort(workerThreads.parentPort);
  const job = { filename: '', eval: false, argv: [], workerData: undefined, env: null };
  begin({ ...job, environmentData: new Map(), dropped: [] }, () => {});
  Module._load(REHEARSAL, null, false)(nodes.MessageChannel);
  delete Module._cache[REHEARSAL];
}

/** Loads what is needed later, without Node's experimental warnings: programs have not asked for these features. */
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
