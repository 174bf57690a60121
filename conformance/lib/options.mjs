// The command line of run.mjs.

import fs from 'node:fs';
import { parseArgs } from 'node:util';

export const USAGE = `node conformance/run.mjs --suite DIR --node BIN --list FILE --out TSV [options]
  --suite DIR         test/ folder of a Node source tree (holds common/, fixtures/, parallel/, ...)
  --node BIN          binary under test
  --list FILE         one test per line, relative to DIR; a tab ends the name, # starts a comment line
  --out TSV           file, status, ms, exit, signal, leaked, attempts, detail, noise
  --preload FILE      each process, children included, gets NODE_OPTIONS="--require FILE"
  --import FILE       the same with --import
  --node-options S    appended to NODE_OPTIONS
  --grep RE           keep only the matching lines of the list
  --jobs N            tests of parallel/ at once (default 1); all others run alone, afterwards
  --timeout SECONDS   per test (default 120)
  --retries N         further attempts for a test that fails (default 0); the report counts them
  --logs DIR          output of failing tests (default <out>.logs); --keep-all keeps that of all
  --env K=V           extra environment (repeatable)
  --uid N             run the tests as this user; needs root and setpriv(1)
  --strict            a test that exits with 0 fails when one of its processes died of an exception: many
                      cluster tests never look at how their workers exit
  --noise-ok FILE     tests excused from --strict: they print such lines on stock Node, too
  --expect-fail FILE  tests known to fail, each with a reason after a tab; one that passes is a failure`;

const SPEC = {
  suite: { type: 'string' },
  node: { type: 'string' },
  list: { type: 'string' },
  out: { type: 'string' },
  preload: { type: 'string' },
  import: { type: 'string' },
  'node-options': { type: 'string' },
  grep: { type: 'string' },
  jobs: { type: 'string', default: '1' },
  timeout: { type: 'string', default: '120' },
  retries: { type: 'string', default: '0' },
  logs: { type: 'string' },
  'keep-all': { type: 'boolean', default: false },
  env: { type: 'string', multiple: true, default: [] },
  uid: { type: 'string' },
  strict: { type: 'boolean', default: false },
  'noise-ok': { type: 'string' },
  'expect-fail': { type: 'string' },
};

function usageError(message) {
  return Object.assign(new Error(message), { code: 'ERR_USAGE' });
}

function wholeNumber(values, name, min) {
  const text = values[name];
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < min) {
    throw usageError(`--${name} takes a whole number from ${min}, not '${text}'`);
  }
  return number;
}

/** Lines of a list file as [name, rest]. */
export function readList(file) {
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.trim() && !line.startsWith('#'))
    .map((line) => {
      const [name, ...rest] = line.split('\t');
      return [name.trim(), rest.join(' ').trim()];
    });
}

/** @throws an error with code ERR_USAGE */
export function parseOptions(args) {
  let values;
  try {
    ({ values } = parseArgs({ args, options: SPEC, allowPositionals: false }));
  } catch (error) {
    throw usageError(error.message);
  }
  for (const name of ['suite', 'node', 'list', 'out']) {
    if (!values[name]) throw usageError(`--${name} is required`);
  }
  const pattern = new RegExp(values.grep ?? '');
  const names = readList(values.list).map(([name]) => name);
  const files = [...new Set(names)].filter((name) => pattern.test(name));
  if (files.length === 0) throw usageError(`no tests left of ${values.list}`);
  return {
    suite: fs.realpathSync(values.suite),
    node: values.node.includes('/') ? fs.realpathSync(values.node) : values.node,
    files,
    out: values.out,
    preload: values.preload,
    import: values.import,
    nodeOptions: values['node-options'],
    jobs: wholeNumber(values, 'jobs', 1),
    timeoutMs: wholeNumber(values, 'timeout', 1) * 1000,
    retries: wholeNumber(values, 'retries', 0),
    logs: values.logs ?? `${values.out}.logs`,
    keepAll: values['keep-all'],
    env: values.env,
    uid: wholeNumber(values, 'uid', 1),
    strict: values.strict,
    noiseOk: new Set(values['noise-ok'] ? readList(values['noise-ok']).map(([name]) => name) : []),
    expectFail: new Map(values['expect-fail'] ? readList(values['expect-fail']) : []),
  };
}
