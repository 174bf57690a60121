'use strict';

/*
 * Image processing on all cores: reads a PNG, blurs it (Gaussian), draws its edges (Sobel) and writes the result.
 *
 * The picture is in shared memory; every thread works on its own strip of rows and waits for the others at a
 * barrier between passes, since each pass reads rows that another thread has written in the previous one. Nothing
 * is copied between threads. The same work is done by one thread and by all of them, and the two results are
 * compared.
 *
 *   node examples/image.js [picture.png] [--threads N] [--out DIR] [--quick]
 *
 * Without an argument, it generates a picture. Writes picture.png (if generated) and edges.png into examples/out.
 */

const fs = require('node:fs');
const path = require('node:path');
const { isMainThread, parentPort, workerData } = require('manycore');
const { PNG } = require('pngjs');

const { blurRows, blurColumns, drawEdges } = require('./support/filters');
const { options } = require('./support/options');
const { paint } = require('./support/picture');
const { ALL_CORES, Team, meet, median, printSpeedUp, timeMs } = require('./support/team');

if (isMainThread) main();
else parentPort?.on('message', () => parentPort?.postMessage(filterStrip(workerData)));

async function main() {
  const { quick, threads, out, argument } = options(ALL_CORES);
  fs.mkdirSync(out, { recursive: true });
  const input = argument ?? path.join(out, 'picture.png');
  if (!argument) {
    const [width, height] = quick ? [320, 240] : [2048, 1536];
    fs.writeFileSync(
      input,
      PNG.sync.write(Object.assign(new PNG({ width, height }), { data: paint(width, height) })),
    );
  }

  const { width, height, data } = PNG.sync.read(fs.readFileSync(input));
  console.log(`${input}: ${width} x ${height} pixels`);
  const repeats = quick ? 1 : 3;
  const one = await filter(data, width, height, 1, repeats);
  const all = await filter(data, width, height, threads, repeats);

  const output = path.join(out, 'edges.png');
  fs.writeFileSync(output, PNG.sync.write(Object.assign(new PNG({ width, height }), { data: all.result })));
  console.log(`${output}: written`);
  printSpeedUp(one.ms, all.ms, threads);
  const identical = one.result.equals(all.result);
  console.log(`identical: ${identical ? 'yes' : 'no'}`);
  if (!identical) process.exitCode = 1;
}

/**
 * Filters a picture on a number of threads.
 * @param {Buffer} data RGBA
 * @param {number} width
 * @param {number} height
 * @param {number} threads
 * @param {number} repeats number of timed runs, after one to warm up
 * @returns {Promise<{ ms: number, result: Buffer }>} the median time, and the filtered RGBA
 */
async function filter(data, width, height, threads, repeats) {
  const pixels = width * height;
  const source = new Uint8Array(new SharedArrayBuffer(pixels * 4));
  source.set(data);
  const [rows, blurred] = [0, 1].map(() => new Float32Array(new SharedArrayBuffer(pixels * 3 * 4)));
  const result = new Uint8Array(new SharedArrayBuffer(pixels * 4));
  const team = new Team(__filename, threads, { width, height, source, rows, blurred, result });
  try {
    await team.ask('filter');
    const times = [];
    for (let i = 0; i < repeats; i++) times.push(await timeMs(() => team.ask('filter')));
    return { ms: median(times), result: Buffer.from(result) };
  } finally {
    await team.close();
  }
}

/**
 * One thread's share of the work.
 * @param {{ index: number, size: number, barrier: Int32Array, width: number, height: number,
 *   source: Uint8Array, rows: Float32Array, blurred: Float32Array, result: Uint8Array }} shared
 */
function filterStrip({ index, size, barrier, width, height, source, rows, blurred, result }) {
  const from = Math.floor((index * height) / size);
  const to = Math.floor(((index + 1) * height) / size);
  blurRows(source, rows, width, from, to);
  meet(barrier, size);
  blurColumns(rows, blurred, width, height, from, to);
  meet(barrier, size);
  drawEdges(blurred, result, width, height, from, to);
}
