/**
 * Model: the five blocks of a text-to-image diffusion model. `open.js` reads one from files.
 *
 *     prompt --> c --> law of its latents --> denoiser --sampler--> z_0 --decoder--> picture
 *
 * What is worked out here is what `LinearDiffusion.sample(..., return_trajectory=True)` works out, in float64.
 */

import { Gaussian, guide, mixed, noiseOf } from "./denoiser.js";
import { DetailCurve, Encoder, finishSteps, Format, ToneCurve } from "./image.js";
import { combine, multiply, transpose } from "./linalg.js";
import { NOISE, SCHEDULES, startStd } from "./noise.js";
import { addsNoise, bridge, runSteps, SAMPLERS } from "./sampler.js";
import { drawStyle, startNoise, stepNoise } from "./streams.js";

/** @typedef {import("./noise.js").Level} Level */
/** @typedef {import("./image.js").Curve} Curve */
/** Positions of prompts and their weights, the heaviest first; they sum to 1. @typedef {[number, number][]} Mix */
/** A share of what an image is drawn from. @typedef {{prompt: number, component: number, weight: number}} Part */

/** A request that the model cannot meet: the key of a text, and what stands in it. */
export class RequestError extends Error {
  /** @param {string} key @param {Record<string, string | number>} values */
  constructor(key, values = {}) {
    super(`${key} ${JSON.stringify(values)}`);
    this.key = key;
    this.values = values;
  }
}

/** What is in most of what variance lies off a style's own directions, at most; as in Python's denoiser/law.py. */
const WIDEST = 6;
let modelCount = 0;

/**
 * The law of one prompt's latents: `sum_j w_j N(m_j, Q (D + F_j F_j') Q')`. Samples are drawn from a law that is sharpened and matched.
 * See `Law` in Python's denoiser/law.py.
 */
export class Law {
  /** @type {Gaussian | null} */
  #gaussian = null;
  /** @type {Map<number, Gaussian>} */
  #components = new Map();

  /** @param {{shares: Float64Array, means: Float64Array, factors: Float64Array, basis: Float64Array, variances: Float64Array,
   *   gain: Float64Array | null, matchedMeans: Float64Array | null}} parts */
  constructor({ shares, means, factors, basis, variances, gain, matchedMeans }) {
    this.shares = shares;
    this.means = means;
    this.factors = factors;
    this.basis = basis;
    this.variances = variances;
    this.gain = gain;
    this.matchedMeans = matchedMeans;
    this.size = shares.length;
    this.k = variances.length;
    this.rank = factors.length / (this.size * this.k);
  }

  /** Mean of a style, as learned. @param {number} j */
  meanOf(j) {
    return this.means.slice(j * this.k, (j + 1) * this.k);
  }

  /** Mean that samples of a style have. @param {number} j */
  matchedMeanOf(j) {
    return (this.matchedMeans ?? this.means).slice(j * this.k, (j + 1) * this.k);
  }

  /** F_j, (k, r). @param {number} j */
  factorOf(j) {
    return this.factors.subarray(j * this.k * this.rank, (j + 1) * this.k * this.rank);
  }

  /** Of all styles together, (k,). */
  get mean() {
    return combine([...this.shares], Array.from(this.shares, (_, j) => this.meanOf(j)));
  }

  /** One Gaussian with the mean and the covariance of all styles together. */
  get gaussian() {
    const isOne = this.size === 1 && this.rank === 0;
    this.#gaussian ??= isOne ? new Gaussian(this.mean, this.variances, this.basis) : Gaussian.fromCovariance(this.mean, this.covariance());
    return this.#gaussian;
  }

  /** Of all styles together, (k, k). */
  covariance() {
    const { k, mean } = this;
    const covariance = this.within();
    this.shares.forEach((share, j) => {
      const off = this.meanOf(j).map((v, i) => v - mean[i]);
      for (let a = 0, at = 0; a < k; a++) for (let b = 0; b < k; b++, at++) covariance[at] += share * off[a] * off[b];
    });
    return covariance;
  }

  /** How pictures vary within a style, on average, (k, k). @param {number} [floor] the least that D is taken for */
  within(floor = 0) {
    const { k, rank } = this;
    const within = new Float64Array(k * k);
    for (let i = 0; i < k; i++) within[i * k + i] = Math.max(this.variances[i], floor);
    this.shares.forEach((share, j) => {
      const factor = this.factorOf(j);
      const product = multiply(factor, transpose(factor, k, rank), k, rank, k);
      for (let at = 0; at < k * k; at++) within[at] += share * product[at];
    });
    return this.#fromBasis(within);
  }

  /** Q a Q'. @param {Float64Array} a */
  #fromBasis(a) {
    const { k, basis } = this;
    return multiply(multiply(basis, a, k, k, k), transpose(basis, k, k), k, k, k);
  }

  /** A style as it was learned. @param {number} j */
  learned(j) {
    const { k, rank } = this;
    const factor = this.factorOf(j);
    const within = multiply(factor, transpose(factor, k, rank), k, rank, k);
    for (let i = 0; i < k; i++) within[i * k + i] += this.variances[i];
    return Gaussian.fromCovariance(this.meanOf(j), this.#fromBasis(within));
  }

  /** A style as samples are drawn from it. @param {number} j */
  component(j) {
    let found = this.#components.get(j);
    if (!found) {
      found = this.#matched(j);
      this.#components.set(j, found);
    }
    return found;
  }

  /** @param {number} j */
  #matched(j) {
    const { k, rank, gain } = this;
    const mean = this.matchedMeanOf(j);
    if (rank === 0) return new Gaussian(mean, this.variances.map((v, i) => v * (gain ? gain[i] ** 2 : 1)), this.basis);
    const factor = this.factorOf(j);
    const own = factor.reduce((sum, x) => sum + x * x, 0);
    const off = this.variances.reduce((sum, x) => sum + x, 0);
    const scale = Math.sqrt(Math.min(1 + (own > 0 ? off / own : 0), WIDEST));
    const wide = factor.map((x, i) => x * scale * (gain ? gain[Math.floor(i / rank)] : 1));
    return Gaussian.fromFactor(mean, multiply(this.basis, wide, k, k, rank));
  }

  /** The style whose mean is nearest to a latent. @param {Float64Array} z */
  nearest(z) {
    let best = 0;
    let least = Infinity;
    for (let j = 0; j < this.size; j++) {
      const distance = this.matchedMeanOf(j).reduce((sum, v, i) => sum + (v - z[i]) ** 2, 0);
      if (distance < least) [best, least] = [j, distance];
    }
    return best;
  }
}

/**
 * What a model has learned, and what is drawn from it. `parts` may come from files (`openModel`), or be another model's with a prompt more.
 */
export class Model {
  /** @type {Gaussian | null} */
  #pooled = null;

  /**
   * @param {{config: any, prompts: string[], weights: Float64Array, encoder: Encoder, format: Format, residual: Float64Array,
   *   lawOf: (j: number) => Law, curvesOf: (j: number) => Int32Array, tones: (ToneCurve | null)[], details: (DetailCurve | null)[], nStyles: number,
   *   arrays: Map<string, import("./safetensors.js").Tensor>}} parts
   *   tones and details by the number of a curve; arrays are those of the file that all this came from
   */
  constructor(parts) {
    this.parts = parts;
    modelCount += 1;
    /** Differs from model to model. */
    this.id = `model ${modelCount}`;
    this.config = parts.config;
    this.prompts = parts.prompts;
    this.weights = parts.weights;
    this.encoder = parts.encoder;
    this.format = parts.format;
    this.nStyles = parts.nStyles;
    const { width, height, channels, low, high } = parts.format;
    this.width = width;
    this.height = height;
    this.channels = channels;
    this.low = low;
    this.high = high;
    this.d = parts.encoder.d;
    this.k = parts.encoder.k;
    /** @type {number} */
    this.nImages = parts.config.n_images;
    /** @type {string} */
    this.schedule = parts.config.params.schedule;
    /** @type {Map<number, Law>} */
    this.laws = new Map();
  }

  /** The law of a prompt. @param {number} j */
  law(j) {
    let found = this.laws.get(j);
    if (!found) {
      found = this.parts.lawOf(j);
      this.laws.set(j, found);
    }
    return found;
  }

  /** Pixels as numbers from 0 to 1, to be painted. @param {Float64Array} pixels */
  unit(pixels) {
    const width = this.high - this.low || 1;
    return pixels.map((v) => Math.min(Math.max((v - this.low) / width, 0), 1));
  }

  /** A latent as a picture without curves. @param {Float64Array} z */
  plain(z) {
    return this.encoder.decode(z).map(this.format.cast);
  }

  /** A latent as a picture: plain, after the tone curve, and finished. @param {Float64Array} z @param {Curve} curve */
  finishSteps(z, curve) {
    return finishSteps(this.encoder.decode(z), curve, this.format);
  }

  /** A latent as a finished picture. @param {Float64Array} z @param {Curve} curve */
  finish(z, curve) {
    return this.finishSteps(z, curve).finished;
  }

  /** The prompts of a mix as one Gaussian. @param {Mix} mix */
  gaussian(mix) {
    return mixed(mix.map(([j]) => this.law(j).gaussian), mix.map(([, weight]) => weight));
  }

  /** What an image of these parts is drawn from. @param {Part[]} parts */
  component(parts) {
    return mixed(parts.map((part) => this.law(part.prompt).component(part.component)), parts.map((part) => part.weight));
  }

  /** All images as one Gaussian: the variance between prompts is added to that within. */
  pooled() {
    this.#pooled ??= this.#pool();
    return this.#pooled;
  }

  #pool() {
    const { k } = this;
    const laws = this.prompts.map((_, j) => this.law(j));
    const mean = combine([...this.weights], laws.map((law) => law.mean));
    const covariance = combine([...this.weights], laws.map((law) => law.gaussian.covariance()));
    laws.forEach((law, j) => {
      const apart = law.mean.map((v, i) => v - mean[i]);
      for (let a = 0, at = 0; a < k; a++) for (let b = 0; b < k; b++, at++) covariance[at] += this.weights[j] * apart[a] * apart[b];
    });
    return Gaussian.fromCovariance(mean, covariance);
  }

  /** The curve that pictures of these parts end with. @param {Part[]} parts @returns {Curve} */
  curve(parts) {
    /** @type {Map<number, number>} */
    const shares = new Map();
    for (const { prompt, component, weight } of parts) shares.set(this.parts.curvesOf(prompt)[component], weight);
    const numbers = [...shares.keys()];
    const weights = [...shares.values()];
    const tones = numbers.map((n) => this.parts.tones[n]).filter((c) => c !== null);
    const details = numbers.map((n) => this.parts.details[n]).filter((c) => c !== null);
    return {
      tone: tones.length === numbers.length ? ToneCurve.mixed(tones, weights) : null,
      detail: details.length === numbers.length ? DetailCurve.mixed(details, weights) : null,
    };
  }
}

/** A mix from how it is typed: "7", or "3:0.5 8:0.5".
 * @param {string} text @param {Model} model @returns {Mix} */
export function parsePrompt(text, model) {
  const composed = text.trim().normalize("NFC");
  const known = new Map(model.prompts.map((p, j) => [p, j]));
  const one = known.get(text) ?? known.get(composed);
  if (one !== undefined) return [[one, 1]];
  const number = String.raw`[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?`;
  const part = String.raw`.*?\S:${number}`;
  const isMix = new RegExp(`^(?:${part}\\s+)*${part}$`, "u").test(composed);
  /** @type {Map<number, number>} */
  const weights = new Map();
  for (const [, name, weight] of isMix ? composed.matchAll(new RegExp(`(.*?\\S):(${number})(?:\\s+|$)`, "gu")) : [[null, composed, "1"]]) {
    const j = known.get(/** @type {string} */ (name));
    if (j === undefined) {
      const listed = model.prompts.slice(0, 12).join(", ") + (model.prompts.length > 12 ? ", ..." : "");
      throw new RequestError("error.prompt", { prompt: /** @type {string} */ (name), known: listed });
    }
    weights.set(j, (weights.get(j) ?? 0) + Number(weight));
  }
  const mix = /** @type {Mix} */ ([...weights].filter(([, w]) => w !== 0).sort(([a, v], [b, w]) => w - v || a - b));
  const sum = mix.reduce((total, [, w]) => total + w, 0);
  if (mix.some(([, w]) => w < 0) || Math.abs(sum - 1) > 1e-6) throw new RequestError("error.weights", { sum: Number(sum.toPrecision(6)) });
  return mix.length === 1 ? [[mix[0][0], 1]] : mix;
}

/**
 * What is asked for: as the arguments of Python's `sample`; `index` is which image of the call it is.
 * @typedef {{prompt: string, negative?: string, guidanceScale?: number, sampler?: string, schedule?: string, nSteps?: number, eta?: number,
 *   seed?: number, style?: string, index?: number}} Request
 *
 * All that an image passes through: `levels` and `z` are n + 1, `z0` (predicted clean latents) and `eps` (predicted noise) n.
 * @typedef {{request: Request, mix: Mix, parts: Part[], component: number, levels: Level[], nSteps: number, z: Float64Array[], z0: Float64Array[],
 *   eps: Float64Array[], curve: Curve, denoiser: Gaussian, finished: Float64Array, milliseconds: number}} Run
 */

/** Draws one image, step by step.
 * @param {Model} model @param {Request} request @returns {Run} */
export function startRun(model, request) {
  const begun = performance.now();
  const { guidanceScale = 1, sampler: name = "exact", eta = 0, seed = 0, index = 0 } = request;
  const mix = parsePrompt(request.prompt, model);
  const parts = chooseParts(model, mix, request.style ?? "", seed, index);
  const guided = guidanceScale !== 1;
  const exact = name === "exact";
  if (exact && guided) throw new RequestError("error.guidance");
  if (!exact && !Object.hasOwn(SAMPLERS, name)) throw new RequestError("error.sampler", { sampler: name, known: ["exact", ...Object.keys(SAMPLERS)].join(", ") });
  const schedule = SCHEDULES[request.schedule || model.schedule];
  if (!Object.hasOwn(SCHEDULES, request.schedule || model.schedule)) throw new RequestError("error.schedule", { schedule: request.schedule ?? "", known: Object.keys(SCHEDULES).join(", ") });
  const nSteps = name === "one-step" ? 1 : request.nSteps || schedule.nSteps || SAMPLERS[name]?.nSteps || 50;
  if (!(Number.isInteger(nSteps) && nSteps >= 1 && nSteps <= 10000)) throw new RequestError("error.steps", { steps: nSteps });
  if (!(Number.isInteger(seed) && seed >= 0)) throw new RequestError("error.seed", { seed });
  const levels = schedule.levels(nSteps);
  const denoiser = model.component(parts);
  const noise = startNoise(seed, index, model.k);
  const z0At = guided ? guidedBy(model, denoiser, request.negative ?? "", guidanceScale) : (/** @type {Level} */ level, /** @type {Float64Array} */ z) => denoiser.z0(level, z);
  let path;
  if (exact) {
    const z = levels.map((level) => denoiser.flow(NOISE, level, noise));
    path = { z, z0: levels.slice(0, -1).map((level, i) => denoiser.z0(level, z[i])) };
  } else {
    const sampler = SAMPLERS[name];
    const fresh = () => stepNoise(seed, index, model.k);
    const noisy = !guided && addsNoise(sampler, levels, eta);
    const { start, noise: steps } = noisy ? bridge(sampler, levels, denoiser, noise, fresh, eta) : { start: noise, noise: fresh() };
    const std = startStd(levels[0]);
    path = runSteps(sampler, levels, z0At, start.map((x) => std * x), steps, eta);
  }
  const curve = model.curve(parts);
  const finished = model.finish(path.z[nSteps], curve);
  const eps = path.z0.map((z0, i) => noiseOf(levels[i], path.z[i], z0));
  return {
    request, mix, parts, component: parts[0].component, levels, nSteps, ...path, eps, curve, denoiser, finished, milliseconds: performance.now() - begun,
  };
}

/** z0_hat with guidance. @param {Model} model @param {Gaussian} own @param {string} negative @param {number} scale */
function guidedBy(model, own, negative, scale) {
  const other = negative ? model.gaussian(parsePrompt(negative, model)) : model.pooled();
  return (/** @type {Level} */ level, /** @type {Float64Array} */ z) => guide(own.z0(level, z), other.z0(level, z), scale);
}

/** The styles that an image is drawn from: one of the heaviest prompt, asked for or drawn, and the nearest ones of the others.
 * @param {Model} model @param {Mix} mix @param {string} style @param {number} seed @param {number} index @returns {Part[]} */
function chooseParts(model, mix, style, seed, index) {
  const [[first, weight], ...rest] = mix;
  const law = model.law(first);
  let component = Number(style);
  if (style === "") component = drawStyle(seed, first, law.shares, index);
  else if (!(Number.isInteger(component) && component >= 0 && component < law.size)) throw new RequestError("error.style", { style, most: law.size - 1, prompt: model.prompts[first] });
  const mean = law.matchedMeanOf(component);
  return [{ prompt: first, component, weight }, ...rest.map(([prompt, w]) => ({ prompt, component: model.law(prompt).nearest(mean), weight: w }))];
}
