'use strict';

const assert = require('node:assert/strict');
const events = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, describe, it } = require('node:test');

const manycore = require('..');
const { ROOT, run } = require('./package-helpers');

/*
 * The types have exactly what exists when the package runs: its exports, the members of its classes, and the
 * properties of what its methods return. Each line of a program that the compiler has to accept claims that a type
 * and something that exists have the same names.
 */

const COMPILER = path.join(ROOT, 'node_modules', '.bin', 'tsc');
const FLAGS =
  '--noEmit --pretty false --strict --target es2022 --lib es2023,esnext.disposable --module node16 --types node'.split(
    ' ',
  );
const TYPE_ROOTS = path.join(ROOT, 'node_modules', '@types');

/** Classes of Node with additions: what else they have depends on its version. */
const NODES = ['BroadcastChannel', 'MessageChannel', 'MessagePort', 'Worker'];
/** Classes that extend one of `node:events`, whose members are left out. @type {Record<string, string>} */
const BASES = { Pool: 'EventEmitterAsyncResource' };
/** Classes whose instances have no handle. */
const WITHOUT_HANDLE = [
  ...['ArrayTaskQueue', 'FixedQueue', 'Lock', 'LockManager', 'Piscina', 'Pool', 'Transfer', 'UnlockToken'],
];

/** Properties that the constructor of a class makes. @type {Record<string, string[]>} */
const OWN = { Transfer: ['message', 'transfer'] };

/** @param {Iterable<string>} names */
const union = (names) => [...names].map((name) => `'${name}'`).join(' | ') || 'never';

/**
 * Names of the public members of an object and of what it inherits.
 * @param {object} object
 * @param {object} [base] whose members are left out
 */
function membersOf(object, base) {
  const names = new Set();
  for (let at = object; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    if (at === Function.prototype) break;
    for (const name of Object.getOwnPropertyNames(at)) names.add(name);
  }
  const isPublic = (/** @type {string} */ name) => !name.startsWith('_') && !(base && name in base);
  return [...names].filter(isPublic);
}

/** @param {any} value */
const isClass = (value) =>
  typeof value === 'function' && /^class\b/.test(Function.prototype.toString.call(value));

/** A program of claims. */
class Claims {
  lines = ["import manycore = require('manycore');", "import events = require('node:events');"];

  /**
   * @param {string} keys a union of names, among others
   * @param {Iterable<string>} names
   */
  same(keys, names) {
    this.has(keys, names);
    this.lines.push(`null! as Exclude<Extract<${keys}, string>, ${union(names)}> satisfies never;`);
  }

  /**
   * @param {string} keys
   * @param {Iterable<string>} names
   */
  has(keys, names) {
    this.lines.push(`null! as Exclude<${union(names)}, ${keys}> satisfies never;`);
  }
}

describe('the types', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-types-'));
  after(() => fs.rmSync(folder, { recursive: true, force: true }));
  fs.mkdirSync(path.join(folder, 'node_modules'));
  fs.symlinkSync(ROOT, path.join(folder, 'node_modules', 'manycore'));

  /**
   * Returns the claims that the compiler rejects, with its reasons.
   * @param {string} name
   * @param {string[]} lines
   */
  async function rejected(name, lines) {
    const file = path.join(folder, `${name}.cts`);
    fs.writeFileSync(file, `${lines.join('\n')}\n`);
    const { stdout } = await run(COMPILER, [...FLAGS, '--typeRoots', TYPE_ROOTS, file], { cwd: folder });
    return stdout.split('\n').filter(Boolean);
  }

  it('have every export, and no other', async () => {
    const claims = new Claims();
    claims.same('keyof typeof manycore', Object.keys(manycore));
    claims.same('keyof typeof manycore.shared', Object.keys(manycore.shared));
    assert.deepEqual(await rejected('exports', claims.lines), []);
  });

  it('have every member of every class, and no other', async () => {
    const claims = new Claims();
    const classes = Object.keys(manycore).filter((name) => isClass(manycore[name]) && !NODES.includes(name));
    assert.ok(classes.length > 15, classes.join(' '));
    for (const name of classes) {
      const Class = manycore[name];
      const base = BASES[Class.name];
      const [ofBase, staticsOfBase] = base
        ? [`keyof events.${base}`, `keyof typeof events.${base}`]
        : ['never', 'never'];
      const own = OWN[name] ?? (WITHOUT_HANDLE.includes(name) ? [] : ['handle']);
      const members = membersOf(Class.prototype, base ? events[base].prototype : Object.prototype);
      claims.same(`Exclude<keyof manycore.${name}, ${ofBase}>`, [...members, ...own]);
      const statics = membersOf(Class, base ? events[base] : Function.prototype);
      claims.same(
        `Exclude<keyof typeof manycore.${name}, 'prototype' | ${staticsOfBase}>`,
        statics.filter((each) => each !== 'prototype'),
      );
    }
    assert.deepEqual(await rejected('classes', claims.lines), []);
  });

  it('have what is added to the classes of Node', async () => {
    const claims = new Claims();
    claims.has('keyof manycore.Worker', ['request', 'call', 'onRequest', 'threadName']);
    claims.has('keyof typeof manycore.Worker', ['warm']);
    claims.has('keyof manycore.MessagePort', ['request', 'call', 'onRequest']);
    claims.has('keyof manycore.ClusterWorker', ['request', 'call', 'onRequest', 'load']);
    const ofEmitters = new events.EventEmitter();
    claims.has('keyof manycore.Cluster', membersOf(manycore.cluster, ofEmitters));
    assert.deepEqual(await rejected('additions', claims.lines), []);
    for (const name of ['request', 'call', 'onRequest', 'threadName']) {
      assert.ok(name in manycore.Worker.prototype, name);
    }
    for (const name of ['request', 'call', 'onRequest']) {
      assert.ok(name in manycore.MessagePort.prototype, name);
    }
  });

  it('have every property of what methods return, and no other', async () => {
    const claims = new Claims();
    const { Channel, RateLimiter, SharedHistogram, SharedMap, Topic, locks, shared } = manycore;
    const map = new SharedMap({ capacityBytes: 64 * 1024 });
    claims.same('keyof manycore.SharedMapStats', Object.keys(map.stats()));
    map.set('a', 1);
    claims.same(
      "keyof NonNullable<ReturnType<manycore.SharedMap['getVersioned']>>",
      Object.keys(map.getVersioned('a')),
    );
    for (const type of ['Channel', 'Topic']) {
      const queue = new { Channel, Topic }[type]({ capacityBytes: 1024 });
      claims.same(`keyof ReturnType<manycore.${type}['stats']>`, Object.keys(queue.stats()));
      queue.release();
    }
    const topic = new Topic();
    claims.same('keyof manycore.TopicSubscription<1>', membersOf(topic.subscribe(), Object.prototype));
    topic.release();
    const limiter = new RateLimiter({ limit: 1, windowMs: 1000 });
    claims.same("keyof ReturnType<manycore.RateLimiter['take']>", Object.keys(limiter.take('a')));
    claims.same("keyof manycore.RateLimiter['rules']", Object.keys(limiter.rules));
    limiter.close();
    const histogram = new SharedHistogram({ highest: 100 });
    histogram.record(1);
    claims.same("keyof ReturnType<manycore.SharedHistogram['summary']>", Object.keys(histogram.summary()));
    claims.same(
      "keyof ReturnType<manycore.SharedHistogram['buckets']>[number]",
      Object.keys(histogram.buckets()[0]),
    );
    histogram.close();
    map.close();
    const name = `types-surface-${process.pid}`;
    const listed = SharedMap.open(name, { capacityBytes: 64 * 1024 });
    const segment = shared.list().find((each) => each.name === name);
    claims.same('keyof manycore.SharedSegment', Object.keys(segment));
    claims.same("keyof ReturnType<typeof manycore.shared['stats']>", Object.keys(shared.stats()));
    listed.close();
    shared.unlink(name);
    await locks.request(name, async (lock) => {
      assert.equal(lock.name, name);
      const snapshot = await locks.query();
      claims.same('keyof manycore.LockManagerSnapshot', Object.keys(snapshot));
      const held = snapshot.held.find((each) => each.name === name);
      claims.same('keyof manycore.LockInfo', Object.keys(held));
    });
    assert.deepEqual(await rejected('results', claims.lines), []);
  });

  it('have every property of what a pool tells, and no other', async () => {
    const claims = new Claims();
    const pool = new manycore.Pool({ minThreads: 1, maxThreads: 1, workerHistogram: true });
    /** @type {any} */
    let info;
    pool.once('ready', (worker) => (info = worker));
    const promise = pool.exec(() => 1);
    await promise;
    claims.same('keyof manycore.PoolWorkerInfo', membersOf(info, Object.prototype));
    claims.same('keyof manycore.PoolStats', Object.keys(pool.stats()));
    claims.same("keyof manycore.PoolStats['workers'][number]", Object.keys(pool.stats().workers[0]));
    claims.same('keyof manycore.PoolHistogram', membersOf(pool.histogram, Object.prototype));
    claims.same('keyof manycore.PoolHistogramSummary', membersOf(pool.histogram.runTime, Object.prototype));
    claims.has('keyof manycore.CancellablePromise<1>', membersOf(promise, Promise.prototype));
    const resolved = Object.keys(pool.options);
    claims.has('keyof manycore.PoolOptions', resolved);
    await pool.close();
    assert.deepEqual(await rejected('pool', claims.lines), []);
  });

  it('are checked in earnest', async () => {
    const claims = new Claims();
    claims.same('keyof manycore.SharedMapStats', ['size', 'nothing']);
    const [missing, surplus] = await rejected('wrong', claims.lines);
    assert.match(missing, /"nothing"|'nothing'/);
    assert.match(surplus, /usedBytes/);
  });
});
