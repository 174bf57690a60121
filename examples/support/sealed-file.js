'use strict';

/*
 * The file format of examples/encrypt.js.
 *
 *   header, 48 bytes   8 magic "MCSEALED"
 *                      4 chunk size in bytes, big-endian, as all numbers here
 *                      4 scrypt: log2(N), r, p, one byte each, and one byte 0
 *                      8 size of the plain file in bytes
 *                      16 salt, random, new for every file
 *                      8 zeros
 *   chunk 0, 1, ...    the encrypted chunk, then its 16-byte tag; the last chunk may be shorter
 *
 * The key is scrypt(password, salt). A chunk's nonce is its index, in 12 bytes: no nonce is used twice with a key,
 * since the salt makes the key unique to the file. The header, which includes the size, is additional data of each
 * chunk: chunks that are altered, reordered, missing, truncated or from another file fail to decrypt.
 */

const fs = require('node:fs');
const { createCipheriv, createDecipheriv, randomBytes, scryptSync } = require('node:crypto');

const CIPHER = 'aes-256-gcm';
const CHUNK_BYTES = 64 * 1024;
const HEADER_BYTES = 48;
const TAG_BYTES = 16;
const SCRYPT = { logN: 15, r: 8, p: 1 };

/**
 * @param {string} password
 * @param {number} plainBytes
 * @returns {{ header: Buffer, key: Buffer }}
 */
function makeHeader(password, plainBytes) {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write('MCSEALED', 0, 'latin1');
  header.writeUInt32BE(CHUNK_BYTES, 8);
  header.set([SCRYPT.logN, SCRYPT.r, SCRYPT.p], 12);
  header.writeBigUInt64BE(BigInt(plainBytes), 16);
  const salt = randomBytes(16);
  salt.copy(header, 24);
  const { r, p, logN } = SCRYPT;
  const N = 2 ** logN;
  return { header, key: scryptSync(password, salt, 32, { N, r, p, maxmem: 256 * N * r }) };
}

/** @param {number} index */
function nonce(index) {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64BE(BigInt(index), 4);
  return bytes;
}

/** Buffer of each thread for reading a chunk. */
const input = Buffer.alloc(CHUNK_BYTES + TAG_BYTES);

/**
 * Encrypts chunk `index` of the plain file into its place in the sealed one.
 * @param {{ header: Uint8Array, key: Uint8Array }} file
 * @param {number} from descriptor of the plain file
 * @param {number} to descriptor of the sealed file
 * @param {number} index
 */
function sealChunk({ header, key }, from, to, index) {
  const length = readFully(from, CHUNK_BYTES, index * CHUNK_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce(index)).setAAD(header);
  const parts = [cipher.update(input.subarray(0, length)), cipher.final(), cipher.getAuthTag()];
  writeFully(to, parts, HEADER_BYTES + index * (CHUNK_BYTES + TAG_BYTES));
}

/**
 * Decrypts chunk `index` of the sealed file into its place in the plain one.
 * @param {{ header: Uint8Array, key: Uint8Array }} file
 * @param {number} from descriptor of the sealed file
 * @param {number} to descriptor of the plain file
 * @param {number} index
 * @throws if the chunk is not authentic
 */
function openChunk({ header, key }, from, to, index) {
  const length = readFully(from, CHUNK_BYTES + TAG_BYTES, HEADER_BYTES + index * (CHUNK_BYTES + TAG_BYTES));
  const end = length - TAG_BYTES;
  if (end < 0) throw new Error(`chunk ${index} is cut off`);
  const decipher = createDecipheriv(CIPHER, key, nonce(index)).setAAD(header);
  decipher.setAuthTag(input.subarray(end, length));
  const plain = decipher.update(input.subarray(0, end));
  try {
    decipher.final();
  } catch (cause) {
    throw new Error(`chunk ${index} is not authentic`, { cause });
  }
  writeFully(to, [plain], index * CHUNK_BYTES);
}

/**
 * Reads into `input`, up to the given length or the end of the file.
 * @param {number} descriptor
 * @param {number} length
 * @param {number} position
 */
function readFully(descriptor, length, position) {
  let done = 0;
  for (let count; done < length; done += count) {
    count = fs.readSync(descriptor, input, done, length - done, position + done);
    if (count === 0) break;
  }
  return done;
}

/**
 * @param {number} descriptor
 * @param {Buffer[]} parts
 * @param {number} position
 */
function writeFully(descriptor, parts, position) {
  for (const part of parts) {
    for (let done = 0; done < part.length;) {
      done += fs.writeSync(descriptor, part, done, part.length - done, position + done);
    }
    position += part.length;
  }
}

module.exports.CHUNK_BYTES = CHUNK_BYTES;
module.exports.makeHeader = makeHeader;
module.exports.sealChunk = sealChunk;
module.exports.openChunk = openChunk;
