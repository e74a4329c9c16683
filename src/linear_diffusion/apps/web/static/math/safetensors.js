/**
 * safetensors: a file of named arrays. Eight bytes that say how long the header is, the header in JSON, then the numbers.
 */

/** @typedef {{dtype: string, shape: number[], bytes: Uint8Array<ArrayBuffer>}} Tensor */

/** Bytes of a number of each dtype that a model may have. @type {Record<string, number>} */
const SIZES = { F64: 8, F32: 4, F16: 2, I64: 8, I32: 4, I16: 2, U8: 1, I8: 1, BOOL: 1 };

/** The arrays of a file; throws an Error that says what is wrong with it.
 * @param {Uint8Array} file
 * @returns {Map<string, Tensor>} */
export function parseSafetensors(file) {
  if (file.length < 8) throw new Error("the file is shorter than its header");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (!(length <= file.length - 8)) throw new Error("the file is shorter than its header");
  /** @type {Record<string, {dtype: string, shape: number[], data_offsets: [number, number]}>} */
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  /** @type {Map<string, Tensor>} */
  const found = new Map();
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    if (!(dtype in SIZES)) throw new Error(`array "${name}" is of dtype ${dtype}, which no model has`);
    const [from, to] = offsets.map((at) => 8 + length + at);
    const size = shape.reduce((product, n) => product * n, SIZES[dtype]);
    if (to > file.length || to - from !== size) throw new Error(`array "${name}" does not lie within the file`);
    found.set(name, { dtype, shape, bytes: file.slice(from, to) });
  }
  return found;
}

/** Numbers of a tensor, from one to another in order; all by default.
 * @param {Tensor} tensor @param {number} [from] @param {number} [to] */
export function numbersOf({ dtype, bytes }, from = 0, to = bytes.length / SIZES[dtype]) {
  const { buffer } = bytes;
  if (dtype === "F64") return new Float64Array(buffer).slice(from, to);
  if (dtype === "F32") return Float64Array.from(new Float32Array(buffer).subarray(from, to));
  if (dtype === "I16") return Float64Array.from(new Int16Array(buffer).subarray(from, to));
  if (dtype === "I32") return Float64Array.from(new Int32Array(buffer).subarray(from, to));
  if (dtype === "I64") return Float64Array.from(new BigInt64Array(buffer).subarray(from, to), Number);
  if (dtype === "F16") return Float64Array.from(new Uint16Array(buffer).subarray(from, to), halfFloat);
  return Float64Array.from((dtype === "I8" ? new Int8Array(buffer) : bytes).subarray(from, to));
}

/** A half float from its 16 bits. @param {number} bits */
export function halfFloat(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** A tensor of numbers.
 * @param {string} dtype @param {number[]} shape @param {ArrayLike<number>} numbers
 * @returns {Tensor} */
export function tensorOf(dtype, shape, numbers) {
  const kinds = { F64: Float64Array, F32: Float32Array, I32: Int32Array, I16: Int16Array };
  const Kind = kinds[/** @type {keyof typeof kinds} */ (dtype)];
  if (Kind) return { dtype, shape, bytes: new Uint8Array(Kind.from(numbers).buffer) };
  if (dtype === "I64") return { dtype, shape, bytes: new Uint8Array(BigInt64Array.from(Array.from(numbers), BigInt).buffer) };
  if (dtype === "F16") return { dtype, shape, bytes: new Uint8Array(Uint16Array.from(numbers, halfBits).buffer) };
  throw new Error(`numbers of dtype ${dtype} are not written; models have F64, F32, F16, I64, I32 and I16`);
}

/** The file of some arrays: the widest first, then by name, as the library of the format orders them.
 * @param {Map<string, Tensor>} arrays */
export function writeSafetensors(arrays) {
  const order = ["I64", "F64", "F32", "I32", "F16", "I16", "I8", "U8", "BOOL"];
  const named = [...arrays].sort(([a, x], [b, y]) => order.indexOf(x.dtype) - order.indexOf(y.dtype) || (a < b ? -1 : 1));
  /** @type {Record<string, object>} */
  const header = {};
  let end = 0;
  for (const [name, { dtype, shape, bytes }] of named) header[name] = { dtype, shape, data_offsets: [end, (end += bytes.length)] };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil(text.length / 8) * 8;
  const file = new Uint8Array(8 + length + end).fill(0x20, 8, 8 + length);
  new DataView(file.buffer).setBigUint64(0, BigInt(length), true);
  file.set(text, 8);
  let at = 8 + length;
  for (const [, { bytes }] of named) {
    file.set(bytes, at);
    at += bytes.length;
  }
  return file;
}

/** The 16 bits of the half float that is nearest to a number; of two, the even one. @param {number} x */
export function halfBits(x) {
  const sign = x < 0 ? 0x8000 : 0;
  const size = Math.abs(x);
  if (!(size < 65520)) return sign | (Number.isNaN(x) ? 0x7e00 : 0x7c00);
  const exponent = size > 0 ? Math.max(Math.floor(Math.log2(size)), -14) : -14;
  const scaled = size * 2 ** (10 - exponent);
  const down = Math.floor(scaled);
  const rest = scaled - down;
  const rounded = down + (rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? 1 : 0);
  return sign | (((exponent + 15) << 10) + rounded - 1024);
}
