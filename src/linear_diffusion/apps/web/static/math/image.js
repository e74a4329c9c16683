/**
 * Image: pixels <-> latent by principal components, and the curves that finished pictures end with.
 *
 *     z = scale V ((x - mean) / std)        x = mean + std (V' z / scale)        finished = detail(tone(x))
 *
 * As in Python's image/, whose comments say why. Pixels are in the model's numbers, row by row, channels together.
 */

import { matVec, vecMat } from "./linalg.js";

/** Principal components, k of d pixels. */
export class Encoder {
  /** @param {{mean: Float64Array, std: Float64Array, components: Float64Array, variances: Float64Array, totalVariance: number, scale: number}} parts */
  constructor({ mean, std, components, variances, totalVariance, scale }) {
    this.mean = mean;
    this.std = std;
    this.components = components;
    this.variances = variances;
    this.totalVariance = totalVariance;
    this.scale = scale;
    this.d = mean.length;
    this.k = variances.length;
    /** The linear part of the decoder, (k, d). */
    this.toPixels = components.map((x, i) => (x * std[i % mean.length]) / scale);
  }

  /** @param {Float64Array} pixels (d,) */
  encode(pixels) {
    const x = pixels.map((v, i) => ((v - this.mean[i]) * this.scale) / this.std[i]);
    return matVec(this.components, x, this.k, this.d);
  }

  /** Pixels before the curves. @param {Float64Array} z (k,) */
  decode(z) {
    const x = this.directions(z);
    for (let i = 0; i < this.d; i++) x[i] += this.mean[i];
    return x;
  }

  /** What a latent adds to pixels, without their mean: for noise, components and other differences. @param {Float64Array} z */
  directions(z) {
    return vecMat(z, this.toPixels, this.k, this.d);
  }
}

/** What pixels mean. */
export class Format {
  /** @param {{shape: number[], dtype: string, span: [number, number] | null, range: [number, number] | null, origin: number, unit: number}} image */
  constructor({ shape, dtype, span, range, origin, unit }) {
    this.height = shape[0];
    this.width = shape[1];
    this.channels = shape[2] ?? 1;
    this.dtype = dtype;
    this.isWhole = !dtype.startsWith("float");
    const inner = (/** @type {number} */ v) => (v - origin) / unit;
    const [low, high] = span ?? range ?? [0, 1];
    /** The first and the last tone. */
    this.low = inner(low);
    this.high = inner(high);
    /** What pixels are cut off to. */
    this.bounds = range ? [inner(range[0]), inner(range[1])] : [-Infinity, Infinity];
    this.isPlain = origin === 0 && unit === 1;
    this.origin = origin;
    this.unit = unit;
    this.isBytes = this.isPlain && this.isWhole && this.low >= 0 && this.high <= 255;
  }

  /** A number as a pixel: whole where pixels are, and within their range. @param {number} v */
  cast = (v) => {
    if (this.isWhole) v = this.isPlain ? roundEven(v) : (roundEven(v * this.unit + this.origin) - this.origin) / this.unit;
    return Math.min(Math.max(v, this.bounds[0]), this.bounds[1]);
  };

  /** A number of a tone table, as Python rounds it before details are corrected. @param {number} v */
  toned = (v) => {
    if (!this.isBytes) return v;
    const [low, high] = Number.isFinite(this.bounds[0]) ? this.bounds : [0, 255];
    return roundEven(Math.min(Math.max(v, low, 0), high, 255));
  };

  /** A pixel in sixteenths of a tone, 0 to 4080. @param {number} v @param {number} parts */
  tone(v, parts) {
    if (this.isBytes && this.low === 0 && this.high === 255) return v * parts;
    const most = 255 * parts;
    return Math.min(Math.max(Math.floor((v - this.low) * (most / (this.high - this.low || 1)) + 0.5 + 1e-6), 0), most);
  }
}

/** To the nearest whole number, halves to the even one, as numpy does. @param {number} v */
function roundEven(v) {
  const down = Math.floor(v);
  const rest = v - down;
  return rest > 0.5 || (rest === 0.5 && down % 2 !== 0) ? down + 1 : down;
}

const ENTRIES = 4096;
const REACH = 510;
const DIFFERENCES = 2 * REACH + 1;
const PARTS = 16;
const LEVELS = 255 * PARTS + 1;

/** One tone curve, for each channel: entry i of its table is what `low + i step` becomes. */
export class ToneCurve {
  /** @param {Float64Array} low (c,) @param {Float64Array} step (c,) @param {Float64Array} table (c, 4096) */
  constructor(low, step, table) {
    this.low = low;
    this.step = step;
    this.table = table;
  }

  /** What a number becomes. @param {number} v @param {number} channel */
  at(v, channel) {
    const position = (v - this.low[channel]) / this.step[channel] + 0.5;
    return this.table[channel * ENTRIES + Math.floor(Math.min(Math.max(position, 0.5), ENTRIES - 0.5))];
  }

  /** The weighted mean of curves. @param {ToneCurve[]} curves @param {number[]} weights */
  static mixed(curves, weights) {
    if (curves.length === 1) return curves[0];
    const channels = curves[0].low.length;
    const low = new Float64Array(channels);
    const step = new Float64Array(channels);
    const table = new Float64Array(channels * ENTRIES);
    for (let c = 0; c < channels; c++) {
      low[c] = Math.min(...curves.map((t) => t.low[c]));
      step[c] = (Math.max(...curves.map((t) => t.low[c] + t.step[c] * (ENTRIES - 1))) - low[c]) / (ENTRIES - 1);
      for (let i = 0; i < ENTRIES; i++) {
        let sum = 0;
        curves.forEach((t, j) => {
          const at = Math.min(Math.max((low[c] + step[c] * i - t.low[c]) / t.step[c], 0), ENTRIES - 1);
          const below = Math.min(Math.floor(at), ENTRIES - 2);
          const [a, b] = [t.table[c * ENTRIES + below], t.table[c * ENTRIES + below + 1]];
          sum += weights[j] * (a + (at - below) * (b - a));
        });
        table[c * ENTRIES + i] = Math.fround(sum);
      }
    }
    return new ToneCurve(low, step, table);
  }
}

/** What neighbours' differences are corrected by, and the tone curve after it. */
export class DetailCurve {
  /** @param {Float64Array} shift (c, 3, 1021) @param {Float64Array} table (c, 4081) */
  constructor(shift, table) {
    this.shift = shift;
    this.table = table;
  }

  /** Pixels after the tone curve, with their details. @param {Float64Array} toned @param {Format} format */
  apply(toned, format) {
    const { width, height, channels } = format;
    const tones = toned.map((v) => format.tone(v, 1));
    const levels = toned.map((v) => format.tone(v, PARTS));
    for (let y = 0; y + 1 < height; y++) for (let x = 0; x + 1 < width; x++) for (let c = 0; c < channels; c++) {
      const a = (y * width + x) * channels + c;
      const [b, below, across] = [a + channels, a + width * channels, a + (width + 1) * channels];
      const first = 3 * c * DIFFERENCES + REACH;
      const h = this.shift[first + tones[a] + tones[below] - tones[b] - tones[across]];
      const v = this.shift[first + DIFFERENCES + tones[a] - tones[below] + tones[b] - tones[across]];
      const d = this.shift[first + 2 * DIFFERENCES + tones[a] - tones[below] - tones[b] + tones[across]];
      levels[a] += h + v + d;
      levels[b] += -h + v - d;
      levels[below] += h - v - d;
      levels[across] += -h - v + d;
    }
    return levels.map((level, i) => format.cast(this.table[(i % channels) * LEVELS + Math.min(Math.max(level, 0), LEVELS - 1)]));
  }

  /** The weighted mean of curves. @param {DetailCurve[]} curves @param {number[]} weights */
  static mixed(curves, weights) {
    if (curves.length === 1) return curves[0];
    const shift = curves[0].shift.map((_, i) => roundEven(curves.reduce((sum, curve, j) => sum + weights[j] * curve.shift[i], 0)));
    const table = curves[0].table.map((_, i) => Math.fround(curves.reduce((sum, curve, j) => sum + weights[j] * curve.table[i], 0)));
    return new DetailCurve(shift, table);
  }
}

/** What a finished picture goes through after the linear decoder; either may be missing.
 * @typedef {{tone: ToneCurve | null, detail: DetailCurve | null}} Curve */

/** Pixels through the curves: plain, after the tone curve, and finished.
 * @param {Float64Array} pixels @param {Curve} curve @param {Format} format */
export function finishSteps(pixels, { tone, detail }, format) {
  const plain = pixels.map(format.cast);
  if (!tone) return { plain, toned: plain, finished: plain };
  const { channels } = format;
  const toned = pixels.map((v, i) => (detail ? format.toned : format.cast)(tone.at(v, i % channels)));
  return { plain, toned, finished: detail ? detail.apply(toned, format) : toned };
}
