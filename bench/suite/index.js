'use strict';

/*
 * Runs every benchmark and writes docs/benchmarks.md:
 *
 *   npm run bench [-- --quick | --headlines | --curves] [--only ID,...] [--render]
 */

const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const prettier = require('prettier');

const { document } = require('./document');
const { PLAN } = require('./plan');
const { runSection } = require('./results');

const ROOT = path.join(__dirname, '..', '..');
const USAGE = `npm run bench [-- options]
  --quick      one short round each, in a few minutes; writes to target/bench
  --headlines  the scenarios of the first table alone; keeps the curves there are
  --curves     the curves alone, if there are figures of all else
  --only       these sections, comma-separated: ${PLAN.map(({ id }) => id).join(', ')}; keeps the others' figures
  --render     measures nothing, writes the document from the figures that there are
  --out        the folder for the document (docs; target/bench of a quick run)`;

/** @param {string} file */
const readJson = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));

/** @param {string} text */
const formatted = async (text, /** @type {string} */ file) =>
  prettier.format(text, { ...(await prettier.resolveConfig(file)), filepath: file });

async function main() {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      headlines: { type: 'boolean', default: false },
      curves: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      render: { type: 'boolean', default: false },
      out: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void console.log(USAGE);
  const only = values.only.split(',').filter(Boolean);
  const unknown = only.find((id) => !PLAN.some((section) => section.id === id));
  if (unknown !== undefined) throw new TypeError(`There is no section '${unknown}'`);
  const extents = /** @type {const} */ (['quick', 'headlines', 'curves']).filter((name) => values[name]);
  if (extents.length > 1) throw new TypeError(`--${extents.join(' and --')} exclude each other`);
  const extent = extents[0] ?? 'full';
  const out = path.resolve(values.out ?? path.join(ROOT, values.quick ? 'target/bench' : 'docs'));
  const folder = path.join(out, 'benchmarks');
  fs.mkdirSync(folder, { recursive: true });

  const results = new Map();
  for (const section of PLAN) {
    const file = path.join(folder, `${section.id}.json`);
    if (!values.render && (only.length === 0 || only.includes(section.id))) {
      const before = fs.existsSync(file) ? readJson(file) : undefined;
      const result = await runSection(section, extent, before);
      fs.writeFileSync(file, await formatted(JSON.stringify(result), file));
    }
    if (fs.existsSync(file)) results.set(section.id, readJson(file));
  }
  const { markdown, pictures } = document(PLAN, results, 'benchmarks');
  const page = path.join(out, 'benchmarks.md');
  fs.writeFileSync(page, await formatted(markdown, page));
  for (const [name, svg] of pictures) fs.writeFileSync(path.join(folder, name), svg);
  console.log(`\nwritten to ${path.relative(process.cwd(), page)}`);
}

main().catch((error) => {
  console.error(error instanceof TypeError ? `${error.message}\n\n${USAGE}` : error);
  process.exitCode = error instanceof TypeError ? 2 : 1;
});
