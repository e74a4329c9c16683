/**
 * Streams of random numbers: numpy's own, so that a seed means the same picture here as in Python.
 *
 *     stream(entropy, purpose, block, step)  =  Generator(SFC64(SeedSequence(entropy, spawn_key=(purpose, block, step))))
 *
 * SeedSequence is O'Neill's (2015) hash, SFC64 Doty-Humphrey's generator, and normal numbers are drawn by the ziggurat
 * of Marsaglia and Tsang (2000) with 256 layers.
 */

/** Purposes of streams, numbered as in Python's utils/streams.py. */
export const START = 0;
export const STEPS = 1;
export const STYLES = 4;

const R = 3.6541528853610088;
const AREA = 0.004928673233974655;

/** Layers of the ziggurat: where each ends, as a share of the one below, and the density there. */
function layers() {
  const x = new Float64Array(257);
  const f = new Float64Array(256);
  const density = (/** @type {number} */ v) => Math.exp(-0.5 * v * v);
  x[255] = R;
  for (let i = 254; i >= 1; i--) x[i] = Math.sqrt(-2 * Math.log(AREA / x[i + 1] + density(x[i + 1])));
  x[0] = AREA / density(R);
  for (let i = 1; i < 256; i++) f[i] = density(x[i]);
  f[0] = 1;
  const inside = new Float64Array(256); // share of a layer that lies under the one above
  inside[0] = R / x[0];
  for (let i = 2; i < 256; i++) inside[i] = x[i - 1] / x[i];
  return { x, single: Float32Array.from(x), f, inside };
}

const ZIGGURAT = layers();

/** An integer as words of 32 bits, the lowest first. @param {number} n */
function wordsOf(n) {
  const words = [];
  do {
    words.push(n % 2 ** 32);
    n = Math.floor(n / 2 ** 32);
  } while (n > 0);
  return words;
}

/** numpy's SeedSequence: `count` words of 32 bits from an integer and a key.
 * @param {number} entropy @param {number[]} key @param {number} count */
export function seedWords(entropy, key, count) {
  const own = wordsOf(entropy);
  while (key.length > 0 && own.length < 4) own.push(0);
  const words = [...own, ...key.flatMap(wordsOf)];
  let constant = 0x43b0d7e5;
  const hash = (/** @type {number} */ value) => {
    value ^= constant;
    constant = Math.imul(constant, 0x931e8875);
    value = Math.imul(value, constant);
    return value ^ (value >>> 16);
  };
  const mix = (/** @type {number} */ x, /** @type {number} */ y) => {
    const value = Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y);
    return value ^ (value >>> 16);
  };
  const pool = [0, 1, 2, 3].map((i) => hash(words[i] ?? 0));
  for (let from = 0; from < 4; from++) for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
  for (let from = 4; from < words.length; from++) for (let to = 0; to < 4; to++) pool[to] = mix(pool[to], hash(words[from]));
  constant = 0x8b51f9dd;
  const out = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    let value = pool[i % 4] ^ constant;
    constant = Math.imul(constant, 0x58f38ded);
    value = Math.imul(value, constant);
    out[i] = value ^ (value >>> 16);
  }
  return out;
}

/** One stream, of 64 bits a draw as two words: `high` and `low` hold the last draw. */
export class Stream {
  /** @param {number} entropy @param {...number} key */
  constructor(entropy, ...key) {
    const seed = seedWords(entropy, key, 6);
    /** Words of the state a, b, c and the counter, the low one first. */
    this.words = new Uint32Array([...seed, 1, 0]);
    this.low = 0;
    this.high = 0;
    /** @type {number | null} what is left of a draw of which half was used */
    this.half = null;
    for (let i = 0; i < 12; i++) this.next();
  }

  /** Draw 64 bits. */
  next() {
    const w = this.words;
    let sum = w[0] + w[2] + w[6];
    const low = sum >>> 0;
    const high = (w[1] + w[3] + w[7] + Math.floor(sum / 2 ** 32)) >>> 0;
    w[6] += 1;
    if (w[6] === 0) w[7] += 1;
    // a = b ^ (b >> 11)
    w[0] = w[2] ^ ((w[2] >>> 11) | (w[3] << 21));
    w[1] = w[3] ^ (w[3] >>> 11);
    // b = c + (c << 3)
    sum = w[4] + ((w[4] << 3) >>> 0);
    const carry = Math.floor(sum / 2 ** 32);
    w[2] = sum;
    w[3] = w[5] + ((w[5] << 3) | (w[4] >>> 29)) + carry;
    // c = rotl(c, 24) + what is drawn
    const rotatedLow = ((w[4] << 24) | (w[5] >>> 8)) >>> 0;
    const rotatedHigh = ((w[5] << 24) | (w[4] >>> 8)) >>> 0;
    sum = rotatedLow + low;
    w[4] = sum;
    w[5] = rotatedHigh + high + Math.floor(sum / 2 ** 32);
    this.low = low;
    this.high = high;
  }

  /** 32 bits: the low half of a draw, then the high one. */
  next32() {
    if (this.half !== null) {
      const kept = this.half;
      this.half = null;
      return kept;
    }
    this.next();
    this.half = this.high;
    return this.low;
  }

  /** A uniform number in [0, 1), of 53 bits. */
  random() {
    this.next();
    return ((this.high >>> 0) * 2 ** 21 + (this.low >>> 11)) * 2 ** -53;
  }

  /** A standard normal number, float64. */
  normal() {
    for (;;) {
      this.next();
      const layer = this.low & 0xff;
      const negative = (this.low >>> 8) & 1;
      const bits = ((this.low >>> 9) | (this.high << 23)) >>> 0;
      const share = (((this.high >>> 9) & 0xfffff) * 2 ** 32 + bits) * 2 ** -52;
      const value = (negative ? -share : share) * ZIGGURAT.x[layer];
      const found = this.#inLayer(layer, value, share, (bits >>> 8) & 1, () => this.random());
      if (found !== null) return found;
    }
  }

  /** A standard normal number, float32: of 32 bits a draw. */
  normal32() {
    const uniform = () => (this.next32() >>> 8) * 2 ** -24;
    for (;;) {
      const r = this.next32();
      const share = ((r >>> 9) & 0x7fffff) * 2 ** -23;
      const value = Math.fround(((r >>> 8) & 1 ? -share : share) * ZIGGURAT.single[r & 0xff]);
      const found = this.#inLayer(r & 0xff, value, share, (r >>> 17) & 1, uniform);
      if (found !== null) return Math.fround(found);
    }
  }

  /** A value that lies at a share of a layer of the ziggurat, if it is under the density, or one from the tail; else none.
   * @param {number} layer @param {number} value @param {number} share @param {number} negative @param {() => number} uniform */
  #inLayer(layer, value, share, negative, uniform) {
    const { f, inside } = ZIGGURAT;
    if (share < inside[layer]) return value;
    if (layer > 0) return (f[layer - 1] - f[layer]) * uniform() + f[layer] < Math.exp(-0.5 * value * value) ? value : null;
    for (;;) {
      const xx = -Math.log1p(-uniform()) / R;
      const yy = -Math.log1p(-uniform());
      if (yy + yy > xx * xx) return negative ? -(R + xx) : R + xx;
    }
  }
}

/** The noise that image `index` of a call starts from, standard normal (k,). Images share a stream in blocks of 4096, as in Python.
 * @param {number} seed @param {number} index @param {number} k */
export function startNoise(seed, index, k) {
  const stream = new Stream(seed, START, Math.floor(index / 4096));
  for (let i = (index % 4096) * k; i > 0; i--) stream.normal32();
  return Float64Array.from({ length: k }, () => stream.normal32());
}

/** The noise of each step of image `index`, one (k,) after the other.
 * @param {number} seed @param {number} index @param {number} k */
export function* stepNoise(seed, index, k) {
  for (let step = 0; ; step++) {
    const stream = new Stream(seed, STEPS, Math.floor(index / 4096), step);
    for (let i = (index % 4096) * k; i > 0; i--) stream.normal();
    yield Float64Array.from({ length: k }, () => stream.normal());
  }
}

/** Which style the image `index` of a prompt is drawn from, of frequencies that sum to 1: a Kronecker sequence, so that styles come
 * out as often as they should.
 * @param {number} seed @param {number} prompt @param {Float64Array} shares @param {number} index */
export function drawStyle(seed, prompt, shares, index) {
  const draw = (new Stream(seed, STYLES, prompt).random() + (Math.SQRT2 - 1) * index) % 1;
  let below = 0;
  for (let i = 0; i < shares.length; i++) {
    below += shares[i];
    if (draw < below) return i;
  }
  return shares.length - 1;
}
