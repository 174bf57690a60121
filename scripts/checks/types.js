'use strict';

const path = require('node:path');
const { ROOT, exec } = require('../lib/exec');

/** Checks the JSDoc types of our own code, then the published types as consumers resolve them. */
const PROJECTS = [
  '.',
  '__test__/types/tsconfig.node16.json',
  '__test__/types/tsconfig.bundler.json',
  '__test__/types/tsconfig.newer-node.json',
];

async function types() {
  const compiler = path.join(ROOT, 'node_modules', '.bin', 'tsc');
  let count = 0;
  for (const project of PROJECTS) {
    const { stdout } = await exec(compiler, ['--project', project, '--listFiles'], {
      hideStdout: true,
      allowFailure: true,
    });
    const lines = stdout.split('\n').filter(Boolean);
    const own = lines.filter((line) => path.isAbsolute(line) && !line.includes('node_modules'));
    const errors = lines.filter((line) => !path.isAbsolute(line));
    if (errors.length > 0) throw new Error(`types of ${project}:\n${errors.join('\n')}`);
    if (own.length === 0) throw new Error(`${project} checks no files`);
    count += own.length;
  }
  return { count, unit: 'files' };
}

module.exports.types = types;
