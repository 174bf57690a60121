'use strict';

/*
 * Encryption on all cores: encrypts a large file with AES-256-GCM, decrypts it again and compares.
 *
 * The file is split into chunks that are encrypted independently (see support/sealed-file.js for the format), so
 * that any thread can take any chunk. The threads share one counter and take the next chunk from it until none is
 * left; each reads, encrypts and writes through its own buffers, so memory does not grow with the file.
 *
 *   node examples/encrypt.js [MEBIBYTES] [--threads N] [--out DIR] [--quick]
 *
 * Creates a file of 256 MiB by default, works in examples/out and removes its files at the end.
 */

const fs = require('node:fs');
const path = require('node:path');
const { createHash, randomBytes } = require('node:crypto');
const { pipeline } = require('node:stream/promises');
const { isMainThread, parentPort, workerData } = require('manycore');

const { options, positive } = require('./support/options');
const { CHUNK_BYTES, makeHeader, openChunk, sealChunk } = require('./support/sealed-file');
const { ALL_CORES, Team, median, printSpeedUp, timeMs } = require('./support/team');

const MIB = 1024 * 1024;

if (isMainThread) main();
else parentPort?.on('message', (job) => parentPort?.postMessage(work(job)));

async function main() {
  const { quick, threads, out, argument } = options(ALL_CORES);
  const plainBytes = MIB * (argument ? positive('The size in MiB', argument) : quick ? 4 : 256);
  fs.mkdirSync(out, { recursive: true });
  const folder = fs.mkdtempSync(path.join(out, 'encrypt-'));
  const clean = () => fs.rmSync(folder, { recursive: true, force: true });
  process.once('SIGINT', () => (clean(), process.exit(130)));
  try {
    const identical = await roundTrip(folder, plainBytes, threads, quick ? 1 : 3);
    if (!identical) process.exitCode = 1;
  } finally {
    clean();
  }
}

/**
 * @param {string} folder
 * @param {number} plainBytes
 * @param {number} threads
 * @param {number} rounds number of timed rounds
 * @returns {Promise<boolean>} whether all results are correct
 */
async function roundTrip(folder, plainBytes, threads, rounds) {
  const [plain, sealedByOne, sealedByAll, opened] = ['plain', 'sealed-1', 'sealed-n', 'opened'].map((name) =>
    path.join(folder, name),
  );
  await writeSample(plain, plainBytes);
  console.log(`${plainBytes / MIB} MiB, in chunks of ${CHUNK_BYTES / 1024} KiB`);

  // Normally, the salt, and with it the key, is new for every file. Here the same file is encrypted again for
  // comparison.
  const { header, key } = makeHeader(randomBytes(16).toString('hex'), plainBytes);
  const seal = { task: 'seal', from: plain, header, key, plainBytes };
  const open = { task: 'open', from: sealedByAll, to: opened, header, key, plainBytes };
  /** @type {number[][]} */
  const [oneMs, allMs, backMs] = [[], [], []];
  // The first round is a warm-up: it creates the files, which the others overwrite.
  for (let round = 0; round <= rounds; round++) {
    oneMs[round] = await run(1, { ...seal, to: sealedByOne });
    allMs[round] = await run(threads, { ...seal, to: sealedByAll });
    backMs[round] = await run(threads, open);
  }
  printSpeedUp(median(oneMs.slice(1)), median(allMs.slice(1)), threads);
  console.log(`decrypted: ${median(backMs.slice(1)).toFixed(0)} ms`);
  console.log(`peak memory of the process: ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MiB`);

  const identical = (await digest(sealedByOne)) === (await digest(sealedByAll));
  const restored = (await digest(plain)) === (await digest(opened));
  await flipOneByte(sealedByAll);
  const detected = await run(threads, open).then(
    () => false,
    (error) => /chunk \d+/.test(error.message),
  );
  console.log(`identical: ${yes(identical)}`);
  console.log(`restored: ${yes(restored)}`);
  console.log(`tampering detected: ${yes(detected)}`);
  return identical && restored && detected;
}

/** @param {boolean} value */
function yes(value) {
  return value ? 'yes' : 'no';
}

/**
 * Runs one job on a number of threads.
 * @param {number} threads
 * @param {Job} job
 * @returns {Promise<number>} milliseconds
 */
async function run(threads, job) {
  const next = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const team = new Team(__filename, threads, { next });
  try {
    await team.ask('start'); // The start of the threads is not measured.
    const descriptor = fs.openSync(job.to, fs.constants.O_RDWR | fs.constants.O_CREAT);
    if (job.task === 'seal') fs.writeSync(descriptor, job.header, 0, job.header.length, 0);
    fs.closeSync(descriptor);
    return await timeMs(() => team.ask(job));
  } finally {
    await team.close();
  }
}

/**
 * In a thread: processes chunks until none is left.
 * @typedef {{ task: string, from: string, to: string, header: Uint8Array, key: Uint8Array, plainBytes: number }} Job
 * @param {Job | 'start'} job
 */
function work(job) {
  if (job === 'start') return;
  const chunks = Math.ceil(job.plainBytes / CHUNK_BYTES);
  const from = fs.openSync(job.from, 'r');
  const to = fs.openSync(job.to, 'r+');
  const convert = job.task === 'seal' ? sealChunk : openChunk;
  try {
    for (let index; (index = Atomics.add(workerData.next, 0, 1)) < chunks;) convert(job, from, to, index);
  } finally {
    fs.closeSync(from);
    fs.closeSync(to);
  }
}

/**
 * Writes a log-like file of a given size.
 * @param {string} file
 * @param {number} sizeBytes
 */
async function writeSample(file, sizeBytes) {
  await pipeline(function* () {
    for (let offset = 0; offset < sizeBytes; offset += MIB) {
      const lines = `${offset.toString(16).padStart(12, '0')} GET /orders/${offset / MIB} 200 in ${offset % 977} us\n`;
      yield Buffer.alloc(Math.min(MIB, sizeBytes - offset), lines);
    }
  }, fs.createWriteStream(file));
}

/** @param {string} file */
async function digest(file) {
  const hash = createHash('sha256');
  await pipeline(fs.createReadStream(file, { highWaterMark: MIB }), hash);
  return hash.digest('hex');
}

/** @param {string} file */
async function flipOneByte(file) {
  const handle = await fs.promises.open(file, 'r+');
  const position = Math.floor((await handle.stat()).size / 2);
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, position);
  byte[0] ^= 1;
  await handle.write(byte, 0, 1, position);
  await handle.close();
}
