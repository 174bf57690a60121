'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { PNG } = require('pngjs');

const { run } = require('./support/program');

const examples = path.join(__dirname, '..', 'examples');

/** @type {string} */
let out;
before(() => (out = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-examples-'))));
after(() => fs.rmSync(out, { recursive: true }));

/**
 * Runs an example that must succeed.
 * @param {string} name
 * @param {...string} args
 */
async function example(name, ...args) {
  const { code, stdout, stderr } = await run([path.join(examples, name), ...args]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' }, stdout);
  return stdout;
}

test('worker.js: a thread says hello', async () => {
  assert.equal(await example('worker.js'), 'Hello from Worker\n');
});

test('pool.js: a pool counts primes', async () => {
  const stdout = await example('pool.js', '100000', '--threads', '3');
  assert.equal(stdout, '9592 primes up to 100000, in 6 tasks on 3 threads\n');
});

for (const threads of [2, 5]) {
  test(`image.js: ${threads} threads produce the same picture as one thread`, async () => {
    const folder = path.join(out, `image-${threads}`);
    const stdout = await example('image.js', '--quick', '--threads', String(threads), '--out', folder);
    assert.match(stdout, /^identical: yes$/m);
    assert.match(stdout, /^speed-up: \d+\.\d+$/m);
    const picture = PNG.sync.read(fs.readFileSync(path.join(folder, 'picture.png')));
    const edges = PNG.sync.read(fs.readFileSync(path.join(folder, 'edges.png')));
    assert.deepEqual([edges.width, edges.height], [picture.width, picture.height]);
    assert.notDeepEqual(edges.data, picture.data);
  });
}

test('image.js: a uniform picture has no edges, a black and white one does', async () => {
  const { blurColumns, blurRows, drawEdges } = require('../examples/support/filters');
  const [width, height] = [40, 20];
  const filter = (/** @type {(x: number) => number} */ shade) => {
    const source = Uint8Array.from({ length: width * height * 4 }, (_, i) => shade((i >> 2) % width));
    const [rows, blurred] = [0, 1].map(() => new Float32Array(width * height * 3));
    const result = new Uint8Array(width * height * 4);
    blurRows(source, rows, width, 0, height);
    blurColumns(rows, blurred, width, height, 0, height);
    drawEdges(blurred, result, width, height, 0, height);
    return (/** @type {number} */ x) => result[(10 * width + x) * 4];
  };
  const even = filter(() => 200);
  assert.ok([0, 20, 39].every((x) => Math.abs(even(x) - 200) <= 1));
  const halves = filter((x) => (x < 20 ? 100 : 250));
  assert.ok(halves(19) < 80 && halves(20) < 80, 'the edge is not dark');
  assert.ok(
    Math.abs(halves(5) - 100) <= 1 && Math.abs(halves(35) - 250) <= 1,
    'pixels away from the edge changed',
  );
});

test('image.js: accepts a picture supplied by the caller', async () => {
  const input = path.join(out, 'mine.png');
  const png = new PNG({ width: 3, height: 2 });
  png.data.fill(128);
  fs.writeFileSync(input, PNG.sync.write(png));
  const folder = path.join(out, 'image-mine');
  const stdout = await example('image.js', input, '--quick', '--threads', '4', '--out', folder);
  assert.match(stdout, /3 x 2 pixels/);
  assert.match(stdout, /^identical: yes$/m);
  assert.deepEqual(fs.readdirSync(folder), ['edges.png']);
});

for (const threads of [2, 3]) {
  test(`encrypt.js: ${threads} threads write the same file as one thread`, async () => {
    const folder = path.join(out, `encrypt-${threads}`);
    const stdout = await example('encrypt.js', '--quick', '--threads', String(threads), '--out', folder);
    for (const check of ['identical', 'restored', 'tampering detected']) {
      assert.match(stdout, new RegExp(`^${check}: yes$`, 'm'));
    }
    assert.deepEqual(fs.readdirSync(folder), [], 'its temporary files were not removed');
  });
}

test('encrypt.js: an encrypted file decrypts to the original, and tampering is detected', () => {
  const { CHUNK_BYTES, makeHeader, openChunk, sealChunk } = require('../examples/support/sealed-file');
  const files = ['plain', 'sealed', 'opened'].map((name) => path.join(out, name));
  const plain = Buffer.from(Array.from({ length: CHUNK_BYTES + 10 }, (_, i) => i % 251));
  fs.writeFileSync(files[0], plain);
  const file = makeHeader('secret', plain.length);
  fs.writeFileSync(files[1], file.header);
  const [from, sealed, opened] = files.map((name, i) =>
    fs.openSync(name, i === 0 ? 'r' : i === 1 ? 'r+' : 'w+'),
  );
  try {
    for (const index of [1, 0]) sealChunk(file, from, sealed, index);
    for (const index of [0, 1]) openChunk(file, sealed, opened, index);
    assert.deepEqual(fs.readFileSync(files[2]), plain);
    assert.equal(
      fs.readFileSync(files[1]).indexOf(plain.subarray(0, 32)),
      -1,
      'the encrypted file contains plain text',
    );

    assert.throws(
      () => openChunk(makeHeader('secret', plain.length), sealed, opened, 0),
      /chunk 0 is not authentic/,
    );
    const shorter = { ...file, header: Buffer.from(file.header) };
    shorter.header.writeBigUInt64BE(BigInt(CHUNK_BYTES), 16);
    assert.throws(() => openChunk(shorter, sealed, opened, 0), /chunk 0 is not authentic/);
    fs.ftruncateSync(sealed, fs.fstatSync(sealed).size - 1);
    assert.throws(() => openChunk(file, sealed, opened, 1), /chunk 1 is not authentic/);
    assert.throws(() => openChunk(file, sealed, opened, 2), /chunk 2 is cut off/);
  } finally {
    for (const descriptor of [from, sealed, opened]) fs.closeSync(descriptor);
  }
});

for (const threads of [2, 3]) {
  test(`learn.js: ${threads} threads train the same model as one thread`, async () => {
    const stdout = await example('learn.js', '--quick', '--threads', String(threads));
    assert.match(stdout, /^identical: yes$/m);
    const accuracy = Number(/accuracy on unseen samples: ([\d.]+) %/.exec(stdout)?.[1]);
    assert.ok(accuracy > 80, `accuracy is ${accuracy} %; guessing gives 33 %`);
  });
}

for (const name of ['image.js', 'encrypt.js', 'learn.js']) {
  test(`${name}: rejects an invalid command line`, async () => {
    for (const args of [
      ['--threads', '0'],
      ['--threads', 'many'],
      ['--thread', '2'],
      ['1', '2'],
    ]) {
      const { code, stdout, stderr } = await run([path.join(examples, name), ...args]);
      assert.deepEqual({ code, stdout }, { code: 2, stdout: '' }, args.join(' '));
      assert.match(stderr, /--thread|One argument/);
    }
  });
}
