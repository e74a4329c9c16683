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
