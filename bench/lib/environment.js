'use strict';

const os = require('node:os');
const path = require('node:path');
const { execFileSync } = require('node:child_process');

/* The environment of a measurement. */

const ROOT = path.join(__dirname, '..', '..');

/**
 * Evaluates source code with a Node binary; it must print one line of JSON.
 * @param {string} node
 * @param {string} source
 * @returns {any}
 */
function ask(node, source) {
  return JSON.parse(execFileSync(node, ['-e', source], { cwd: ROOT, encoding: 'utf8' }));
}

/** Whether manycore works with that Node. If it falls back to Node's own modules, its figures would be Node's. */
const ADDON_PROBE = `
  let addon = 'loaded';
  try {
    const { cluster, Worker } = require('manycore');
    if (require('./lib/core/addon').loadAddon() === null) addon = 'cannot be had here';
    else if (cluster === require('node:cluster')) addon = 'not used by cluster';
  } catch (error) {
    addon = error.message;
  }
  console.log(JSON.stringify({ version: process.version, v8: process.versions.v8, addon }));
`;

/**
 * @param {string} node the binary under test
 */
function environment(node) {
  const { version, v8, addon } = ask(node, ADDON_PROBE);
  const cpus = os.cpus();
  return {
    cpu: cpus[0]?.model ?? 'unknown',
    cores: cpus.length,
    memoryMiB: Math.round(os.totalmem() / 2 ** 20),
    kernel: `${os.type()} ${os.release()} ${os.arch()}`,
    node: version,
    v8,
    manycore: require('../../package.json').version,
    addon,
    loadBefore: os.loadavg()[0],
    startedAt: new Date().toISOString(),
  };
}

/**
 * @param {ReturnType<typeof environment>} facts
 * @returns {string[]}
 */
function describeEnvironment(facts) {
  const lines = [
    `CPU       ${facts.cpu}, ${facts.cores} cores, ${facts.memoryMiB} MiB`,
    `kernel    ${facts.kernel}`,
    `Node.js   ${facts.node} (V8 ${facts.v8})`,
    `manycore  ${facts.manycore}, native addon: ${facts.addon}`,
    `load      ${facts.loadBefore.toFixed(2)} before the start`,
  ];
  if (facts.loadBefore > 0.5) {
    lines.push('          The machine is busy with something else: do not trust the figures.');
  }
  return lines;
}

module.exports.ROOT = ROOT;
module.exports.ask = ask;
module.exports.environment = environment;
module.exports.describeEnvironment = describeEnvironment;
