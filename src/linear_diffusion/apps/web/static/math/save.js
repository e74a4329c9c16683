/**
 * Save: a model as the two files that Python's `LinearDiffusion.from_pretrained` reads, and files as one archive.
 *
 * As in Python's saving.py: config.json holds the SHA-256 of the weights, by which these are named, and its own.
 */

import { writeSafetensors } from "./safetensors.js";

/** The files of a model, by name. @param {import("./model.js").Model} model @returns {Record<string, Uint8Array<ArrayBuffer>>} */
export function saveModel(model) {
  const weights = writeSafetensors(model.parts.arrays);
  const digest = sha256(weights);
  const text = JSON.stringify({ ...model.config, bytes: weights.length, sha256: digest, digest: "" }, null, 2);
  const config = text.replace('"digest": ""', `"digest": "${configDigest(text)}"`);
  return { "config.json": new TextEncoder().encode(config), [weightsName(digest)]: weights };
}

/** What the weights of a digest are called. @param {string} digest */
export function weightsName(digest) {
  return `model-${digest.slice(0, 16)}.safetensors`;
}

/** The SHA-256 of a configuration, but for the digest that it holds. @param {string} text */
export function configDigest(text) {
  return sha256(new TextEncoder().encode(text.replace(/"digest": "\w*"/g, "")));
}

/** SHA-256 (FIPS 180-4) in hexadecimal: browsers have one of their own only on pages that came encrypted. @param {Uint8Array} bytes */
export function sha256(bytes) {
  const { start, rounds } = hashConstants();
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n);
  const hash = Int32Array.from(start);
  const w = new Int32Array(64);
  for (let block = 0; block < padded.length; block += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(block + 4 * i);
    for (let i = 16; i < 64; i++) {
      const [x, y] = [w[i - 15], w[i - 2]];
      w[i] = w[i - 16] + w[i - 7] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i++) {
      const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + rounds[i] + w[i]) | 0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + one) | 0;
      d = c;
      c = b;
      b = a;
      a = (one + two) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((x, i) => (hash[i] += x));
  }
  return Array.from(hash, (x) => (x >>> 0).toString(16).padStart(8, "0")).join("");
}

/** A 32-bit number turned right. @param {number} x @param {number} n */
function turn(x, n) {
  return (x >>> n) | (x << (32 - n));
}

/** The first 32 bits after the point of square roots of 8 primes, and of cube roots of 64. */
function hashConstants() {
  /** @type {number[]} */
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p !== 0)) primes.push(n);
  const bits = (/** @type {number} */ x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
  return { start: primes.slice(0, 8).map((p) => bits(Math.sqrt(p))), rounds: primes.map((p) => bits(Math.cbrt(p))) };
}

/** A zip archive of files within a folder, as they are, without compression.
 * @param {string} folder @param {Record<string, Uint8Array>} files */
export function zip(folder, files) {
  /** @type {Uint8Array[]} */
  const parts = [];
  /** @type {Uint8Array[]} */
  const directory = [];
  let at = 0;
  for (const [name, content] of Object.entries(files)) {
    const path = new TextEncoder().encode(`${folder}/${name}`);
    const common = [[2, 20], [2, 0], [2, 0], [2, 0], [2, 0x21], [4, crc32(content)], [4, content.length], [4, content.length], [2, path.length], [2, 0]];
    const local = fieldsOf([[4, 0x04034b50], ...common]);
    directory.push(fieldsOf([[4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]]), path);
    parts.push(local, path, content);
    at += local.length + path.length + content.length;
  }
  const count = Object.keys(files).length;
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = fieldsOf([[4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, size], [4, at], [2, 0]]);
  const archive = new Uint8Array(at + size + end.length);
  at = 0;
  for (const part of [...parts, ...directory, end]) {
    archive.set(part, at);
    at += part.length;
  }
  return archive;
}

/** Numbers of 2 or 4 bytes, the least byte first. @param {number[][]} fields */
function fieldsOf(fields) {
  const out = new Uint8Array(fields.reduce((sum, [size]) => sum + size, 0));
  let at = 0;
  for (const [size, value] of fields) for (let i = 0; i < size; i++) out[at++] = value >>> (8 * i);
  return out;
}

/** @param {Uint8Array} bytes */
function crc32(bytes) {
  const table = Int32Array.from({ length: 256 }, (_, n) => {
    for (let i = 0; i < 8; i++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
    return n;
  });
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ table[(crc ^ bytes[i]) & 255];
  return ~crc >>> 0;
}
