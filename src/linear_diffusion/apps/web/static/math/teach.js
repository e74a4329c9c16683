/**
 * Teach: a new prompt from a few drawings. All that is learned of them is a sum, so that a drawing can be taken back.
 *
 *     n,  mean,  scatter = sum (z - mean)(z - mean)'
 *     S = (scatter + nu S_shared) / (n + nu)              S_shared: how pictures of one style vary, on average over all styles
 *
 * The sums are merged as in Python's denoiser/moments.py (Chan, Golub and LeVeque 1983); the shrinkage is that of a prior worth nu drawings.
 */

import { dot, eigh } from "./linalg.js";
import { DetailCurve, ToneCurve } from "./image.js";
import { modelOf } from "./open.js";
import { halfBits, halfFloat, numbersOf, tensorOf } from "./safetensors.js";

/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./safetensors.js").Tensor} Tensor */

/** How many drawings what all styles share is worth. */
export const NU = 10;

/** Count, mean and scatter of latents, and the summed squared length of what the encoder discards of their pictures. */
export class Moments {
  /** @param {number} k */
  constructor(k) {
    this.k = k;
    this.count = 0;
    this.mean = new Float64Array(k);
    this.scatter = new Float64Array(k * k);
    this.discarded = 0;
  }

  /** Adds a latent. @param {Float64Array} z @param {number} [discarded] */
  include(z, discarded = 0) {
    this.#merge(z, discarded, 1);
  }

  /** Takes one that was added away again. @param {Float64Array} z @param {number} [discarded] */
  exclude(z, discarded = 0) {
    this.#merge(z, discarded, -1);
  }

  /** @param {Float64Array} z @param {number} discarded @param {number} n 1 or -1 */
  #merge(z, discarded, n) {
    const { k, mean, scatter } = this;
    const total = this.count + n;
    if (total < 0) throw new Error("there is no drawing to take back");
    const between = total > 0 ? (this.count * n) / total : 0;
    const step = z.map((v, i) => v - mean[i]);
    for (let a = 0, at = 0; a < k; a++) for (let b = 0; b < k; b++, at++) scatter[at] += between * step[a] * step[b];
    for (let a = 0; a < k; a++) mean[a] += total > 0 ? (step[a] * n) / total : 0;
    this.discarded += n * discarded;
    this.count = total;
    if (total === 0) {
      mean.fill(0);
      scatter.fill(0);
      this.discarded = 0;
    }
  }
}

/** A picture, its latent, and the squared length of what the encoder discards of it, in standardised pixels.
 * @typedef {{pixels: Float64Array, z: Float64Array, discarded: number}} Encoded */

/** @param {Model} model @param {Float64Array} pixels @returns {Encoded} */
export function encoded({ encoder }, pixels) {
  const z = encoder.encode(pixels);
  const x = pixels.map((v, i) => (v - encoder.mean[i]) / encoder.std[i]);
  return { pixels, z, discarded: Math.max(dot(x, x) - dot(z, z) / encoder.scale ** 2, 0) };
}

/** The moments of pictures. @param {Model} model @param {Encoded[]} pictures */
export function momentsOfPictures(model, pictures) {
  const moments = new Moments(model.k);
  for (const { z, discarded } of pictures) moments.include(z, discarded);
  return moments;
}

/**
 * What a model's styles have in common: the mean of their covariances, of their curves, and of what the encoder discards of their pictures.
 * @typedef {{covariance: Float64Array, tone: ToneCurve | null, detail: DetailCurve | null, discarded: number}} Shared
 */

/** @type {WeakMap<Model, Shared>} */
const sharedOf = new WeakMap();

/** @param {Model} model @returns {Shared} */
export function shared(model) {
  let found = sharedOf.get(model);
  if (!found) {
    found = findShared(model);
    sharedOf.set(model, found);
  }
  return found;
}

/** @param {Model} model @returns {Shared} */
function findShared(model) {
  const { k, weights, parts } = model;
  const covariance = new Float64Array(k * k);
  /** @type {Map<number, number>} */
  const curves = new Map();
  weights.forEach((weight, j) => {
    const law = model.law(j);
    const own = law.within();
    for (let i = 0; i < own.length; i++) covariance[i] += weight * own[i];
    law.shares.forEach((share, style) => {
      const curve = parts.curvesOf(j)[style];
      curves.set(curve, (curves.get(curve) ?? 0) + weight * share);
    });
  });
  const tones = [...curves.keys()].map((i) => parts.tones[i]).filter((curve) => curve !== null);
  const details = [...curves.keys()].map((i) => parts.details[i]).filter((curve) => curve !== null);
  const shares = [...curves.values()];
  return {
    covariance,
    tone: tones.length ? ToneCurve.mixed(tones, shares) : null,
    detail: details.length ? DetailCurve.mixed(details, shares) : null,
    discarded: parts.residual.reduce((sum, v, j) => sum + v * weights[j], 0),
  };
}

/** How much drawings count beside what all styles share, from 0 to 1. @param {number} count */
export function ownShare(count) {
  return count / (count + NU);
}

/** Moments with their covariance drawn to what all styles share. @param {Moments} moments @param {Shared} common */
export function shrunk({ count, mean, scatter, discarded }, common) {
  const covariance = scatter.map((v, i) => (v + NU * common.covariance[i]) / (count + NU));
  return { mean, covariance, discarded: (discarded + NU * common.discarded) / (count + NU) };
}

/** A model with prompts more, each of its moments; the encoder and all else stay as they are.
 * @param {Model} model @param {{name: string, moments: Moments}[]} symbols @returns {Model} */
export function withPrompts(model, symbols) {
  if (symbols.length === 0) return model;
  const { k, nImages, prompts, config } = model;
  const { arrays } = model.parts;
  const common = shared(model);
  const learned = symbols.map(({ moments }) => inFile(shrunk(moments, common), k, model.law(0).rank));
  const total = nImages + symbols.reduce((sum, { moments }) => sum + moments.count, 0);
  const curves = model.parts.tones.length;
  const [families] = arrays.get("prior.basis")?.shape ?? [0];
  const grown = new Map(arrays);
  /** Appends a row for each symbol. @param {string} name @param {string} dtype @param {(j: number) => ArrayLike<number>} row */
  const append = (name, dtype, row) => {
    const old = arrays.get(name);
    if (old) grown.set(name, withRows(old, dtype, symbols.map((_, j) => row(j))));
  };
  append("prior.residual", "F64", (j) => [learned[j].discarded]);
  append("prior.owner", "I64", (j) => [prompts.length + j]);
  append("prior.curves", "I64", (j) => [curves + j]);
  append("prior.shares", "F64", () => [1]);
  append("prior.component_means", "F32", (j) => learned[j].mean);
  append("prior.matched_means", "F32", (j) => learned[j].mean);
  append("prior.factors", "F16", (j) => learned[j].factors);
  append("prior.unit", "F64", (j) => [learned[j].unit]);
  append("prior.family", "I64", (j) => [families + j]);
  append("prior.leaning", "F64", (j) => [1 - ownShare(symbols[j].moments.count)]);
  append("prior.basis", "F32", (j) => learned[j].basis);
  append("prior.variances", "F64", (j) => learned[j].variances);
  append("prior.gain", "F64", () => new Float64Array(k).fill(1));
  const { tone, detail } = common;
  append("tone.low", "F64", () => tone?.low ?? []);
  append("tone.step", "F64", () => tone?.step ?? []);
  append("tone.table", "F32", () => tone?.table ?? []);
  append("detail.shift", "I16", () => detail?.shift ?? []);
  append("detail.table", "F32", () => detail?.table ?? []);
  const weights = [...model.weights].map((w) => (w * nImages) / total).concat(symbols.map(({ moments }) => moments.count / total));
  grown.set("prior.weights", tensorOf("F64", [weights.length], weights));
  const names = [...prompts, ...symbols.map(({ name }) => name)];
  const taught = modelOf({ ...config, prompts: { dtype: "str", values: names }, n_images: total }, grown, model);
  prompts.forEach((_, j) => taught.laws.set(j, model.law(j)));
  return taught;
}

/** A Gaussian as one style, whose own directions are the widest of its covariance, in numbers that a file holds: `D + F F'` in the basis.
 * @param {{mean: Float64Array, covariance: Float64Array, discarded: number}} gaussian @param {number} k @param {number} rank */
function inFile({ mean, covariance, discarded }, k, rank) {
  const { values, vectors } = eigh(covariance, k);
  const least = Number.EPSILON * values[k - 1];
  const unit = 2 ** Math.ceil(Math.log2(Math.sqrt(Math.max(values[k - 1], 1e-30))));
  const factors = new Float64Array(k * rank);
  const variances = values.map((v) => Math.max(v, least));
  for (let j = Math.max(rank - k, 0); j < rank; j++) {
    const i = k - rank + j;
    const factor = halfFloat(halfBits((Math.sqrt(variances[i]) / unit) * (1 - 2 ** -10)));
    factors[i * rank + j] = factor;
    variances[i] = Math.max(variances[i] - (factor * unit) ** 2, least); // what half precision leaves
  }
  return { mean, discarded, unit, factors, variances, basis: vectors };
}

/** A tensor with rows more, in a dtype that is at least as wide as another.
 * @param {Tensor} tensor @param {string} dtype @param {ArrayLike<number>[]} rows @returns {Tensor} */
function withRows(tensor, dtype, rows) {
  const floats = ["F16", "F32", "F64"];
  const wide = floats.indexOf(tensor.dtype) > floats.indexOf(dtype) ? tensor.dtype : dtype;
  const [n, ...shape] = tensor.shape;
  const size = rows[0].length;
  const old = tensor.dtype === wide ? tensor : tensorOf(wide, tensor.shape, numbersOf(tensor));
  const more = rows.map((row) => tensorOf(wide, shape, row).bytes);
  const bytes = new Uint8Array(old.bytes.length + more.length * (more[0]?.length ?? 0));
  bytes.set(old.bytes);
  more.forEach((part, i) => bytes.set(part, old.bytes.length + i * part.length));
  if (size !== shape.reduce((product, m) => product * m, 1)) throw new Error(`a row has ${size} numbers and ${shape.join(" x ")} are needed`);
  return { dtype: wide, shape: [n + rows.length, ...shape], bytes };
}
