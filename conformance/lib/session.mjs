// One run over a list: its scratch folder, environment and the processes under way.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { find, killAll, sweep } from './leftovers.mjs';
import { isBad } from './report.mjs';
import { judge } from './verdict.mjs';

const SWEEP_GRACE_MS = 1000;
const LOG_LIMIT = 200_000;
// Other variables of the host's environment (proxies, CA bundles, colour switches) change the output of some tests.
const PASSED_ON = ['HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LC_ALL', 'TERM', 'TMPDIR', 'LD_LIBRARY_PATH'];

const quote = (file) => (/[\s"\\]/.test(file) ? `"${file.replace(/(["\\])/g, '\\$1')}"` : file);

/** Returns the flags and environment that a test requests in its head comment. */
function readHeader(file) {
  const source = fs.readFileSync(file, 'utf8');
  const words = (pattern) => pattern.exec(source)?.[1].trim().split(/\s+/).filter(Boolean) ?? [];
  const env = {};
  for (const pair of words(/\/\/\s+Env:(.*)/)) assign(env, pair);
  return { flags: words(/\/\/\s+Flags:(.*)/), env };
}

function assign(env, pair) {
  const at = pair.indexOf('=');
  if (at > 0) env[pair.slice(0, at)] = pair.slice(at + 1);
}

function baseEnvironment(options) {
  const env = { GITHUB_STEP_SUMMARY: '' };
  for (const name of PASSED_ON) if (process.env[name] !== undefined) env[name] = process.env[name];
  env.PATH = process.env.PATH;
  if (options.node.includes('/')) env.PATH = `${path.dirname(options.node)}:${env.PATH}`;
  const nodeOptions = [
    options.preload && `--require ${quote(path.resolve(options.preload))}`,
    options.import && `--import ${quote(path.resolve(options.import))}`,
    options.nodeOptions,
  ];
  const joined = nodeOptions.filter(Boolean).join(' ');
  if (joined) env.NODE_OPTIONS = joined;
  for (const pair of options.env) assign(env, pair);
  return env;
}

export class Session {
  #options;
  #env;
  #runId = randomBytes(4).toString('hex');
  // Short on purpose: paths of Unix sockets under it must stay below 108 bytes.
  #scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'cf-'));
  #serial = 0;
  #running = new Map();

  constructor(options) {
    this.#options = options;
    this.#env = baseEnvironment(options);
    fs.rmSync(options.logs, { recursive: true, force: true });
    fs.mkdirSync(options.logs, { recursive: true });
    if (options.uid !== undefined) fs.chmodSync(this.#scratch, 0o755);
  }

  /** Runs one file, again if it fails and retries are left. */
  async runTest(file, slot, besideOthers) {
    if (!fs.existsSync(path.join(this.#options.suite, file))) {
      return { file, status: 'fail', ms: 0, leaked: 0, attempts: 0, detail: 'no such file' };
    }
    let result;
    for (let attempt = 1; attempt <= this.#options.retries + 1; attempt++) {
      result = { file, attempts: attempt, ...(await this.#runOnce(file, slot, besideOthers, attempt)) };
      if (!isBad(result)) break;
    }
    return result;
  }

  /** Kills remaining processes and removes the scratch folder. */
  destroy() {
    for (const [pid, tag] of this.#running) killAll(find(pid, tag));
    fs.rmSync(this.#scratch, { recursive: true, force: true, maxRetries: 3 });
  }

  async #runOnce(file, slot, besideOthers, attempt) {
    const options = this.#options;
    const id = this.#serial++;
    const folder = path.join(this.#scratch, String(id));
    fs.mkdirSync(folder);
    if (options.uid !== undefined) fs.chownSync(folder, options.uid, options.uid);
    const header = readHeader(path.join(options.suite, file));
    const tag = `${this.#runId}.${id}.`;
    const env = {
      ...this.#env,
      ...header.env,
      TEST_SERIAL_ID: String(id),
      TEST_THREAD_ID: String(slot),
      TEST_PARALLEL: besideOthers ? '1' : '0',
      NODE_TEST_DIR: folder,
      CONF_RUN_TAG: tag,
    };
    const ended = await this.#spawn(file, header.flags, env, folder, tag);
    const stdout = fs.readFileSync(path.join(folder, 'out'), 'utf8');
    const stderr = fs.readFileSync(path.join(folder, 'err'), 'utf8');
    const verdict = judge(options, file, ended, stdout, stderr);
    const result = { ...ended, ...verdict, leaked: ended.left.length };
    if (options.keepAll || isBad(result)) this.#log(file, attempt, result, stdout, stderr);
    fs.rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    return result;
  }

  async #spawn(file, flags, env, folder, tag) {
    const { suite, node, timeoutMs } = this.#options;
    // Regular files, as with Node's own runner, so that a process left behind cannot keep this one waiting.
    const out = fs.openSync(path.join(folder, 'out'), 'w');
    const err = fs.openSync(path.join(folder, 'err'), 'w');
    const startMs = performance.now();
    const command = [...this.#userSwitch(), node, ...flags, path.join(suite, file)];
    const child = spawn('/bin/sh', ['-c', 'ulimit -c 0; exec "$0" "$@"', ...command], {
      cwd: path.dirname(suite), // the source root, as Node's own runner has it
      env,
      detached: true,
      stdio: ['ignore', out, err],
    });
    fs.closeSync(out);
    fs.closeSync(err);
    this.#running.set(child.pid, tag);
    let timedOut = false;
    const watchdog = setTimeout(() => {
      timedOut = true;
      killAll([child.pid]);
    }, timeoutMs);
    const { code, signal } = await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (exitCode, exitSignal) => resolve({ code: exitCode, signal: exitSignal }));
    });
    clearTimeout(watchdog);
    const ms = Math.round(performance.now() - startMs);
    const left = await sweep(child.pid, tag, timedOut ? 0 : SWEEP_GRACE_MS);
    this.#running.delete(child.pid);
    return { ms, exit: code, signal, timedOut, left };
  }

  /** The suite and the repository may be in a folder that only root can enter, so read access is kept. */
  #userSwitch() {
    const { uid } = this.#options;
    if (uid === undefined) return [];
    const capability = '+dac_read_search';
    return ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'].concat(
      `--inh-caps=${capability}`,
      `--ambient-caps=${capability}`,
    );
  }

  #log(file, attempt, result, stdout, stderr) {
    const name = file.replaceAll('/', '__') + (attempt > 1 ? `.${attempt}` : '');
    const lines = [
      `# ${file} ${result.status} exit=${result.exit} signal=${result.signal} ms=${result.ms}`,
      ...result.left.map((command) => `# left behind: ${command}`),
      `--- stdout\n${stdout.slice(0, LOG_LIMIT)}`,
      `--- stderr\n${stderr.slice(0, LOG_LIMIT)}\n`,
    ];
    fs.writeFileSync(path.join(this.#options.logs, `${name}.log`), lines.join('\n'));
  }
}
