/**
 * Apart: what can be read off a denoiser because it is linear.
 *
 *     eps_hat = W_c z_t + b_c,     W_c = sigma (alpha^2 S_c + sigma^2 I)^-1,     b_c = -alpha W_c mu_c
 *     z_0     = mu_c + sum_i sqrt(lambda_i) u_i (u_i' eps)                       the exact sampler, mode by mode
 *
 * A prompt is one Gaussian here, as in Python's `model.denoiser(prompt)`; its styles are merged, two by two, into it.
 */

import { Gaussian } from "./denoiser.js";
import { combine, dot, matVec, multiply, pseudoInverse, solve, transpose, vecMat } from "./linalg.js";
import { CLEAN, NOISE } from "./noise.js";
import { Stream } from "./streams.js";

/** @typedef {import("./noise.js").Level} Level */
/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./model.js").Law} Law */

/** The purpose of the random stream that training draws from; above those of Python's utils/streams.py. */
const TRAINING = 100;

/** @type {WeakMap<import("./image.js").Encoder, Float64Array>} */
const inverses = new WeakMap();

/**
 * What the denoiser reads for one number of its output, (d,): the weights of all noisy pixels, as differences from the mean.
 * @param {Model} model @param {Gaussian} gaussian @param {Level} level
 * @param {number} index of the output: pixel * channels + channel
 * @param {"noise" | "clean"} output eps_hat, or z0_hat
 */
export function readingOf(model, gaussian, level, index, output) {
  const { k, d, encoder } = model;
  const decoded = Float64Array.from({ length: k }, (_, i) => encoder.toPixels[i * d + index]);
  const row = keep(gaussian, level, decoded);
  if (output === "noise") for (let i = 0; i < k; i++) row[i] = (decoded[i] - level.alpha * row[i]) / level.sigma;
  return vecMat(row, fromPixels(model), k, d);
}

/** The inverse of the linear part of the decoder, (k, d): pixels to latents by least squares. Components that were rounded are not quite
 * orthonormal, so it is not quite their transpose.
 * @param {Model} model */
function fromPixels(model) {
  const { k, d } = model;
  const { toPixels } = model.encoder;
  let found = inverses.get(model.encoder);
  if (!found) {
    found = multiply(pseudoInverse(multiply(toPixels, transpose(toPixels, k, d), k, d, k), k), toPixels, k, k, d);
    inverses.set(model.encoder, found);
  }
  return found;
}

/** The matrix of z0_hat times a latent, for a level with noise. @param {Gaussian} gaussian @param {Level} level @param {Float64Array} x */
function keep(gaussian, level, x) {
  const gain = gaussian.gain(level);
  return matVec(gaussian.basis, gaussian.coordinates(x).map((y, j) => y * gain[j]), gaussian.k, gaussian.r);
}

/** Where the largest of some weights is, but for one. @param {Float64Array} weights @param {number} except */
export function strongest(weights, except) {
  let best = except === 0 ? 1 : 0;
  for (let i = 0; i < weights.length; i++) if (i !== except && Math.abs(weights[i]) > Math.abs(weights[best])) best = i;
  return best;
}

/** b_c: the noise that is predicted where all of z_t is 0. @param {Gaussian} gaussian @param {Level} level */
export function biasOf(gaussian, level) {
  return gaussian.eps(level, new Float64Array(gaussian.k));
}

/** The mean of b_c over all prompts, each as often as it was in training. @param {Model} model @param {Level} level */
export function meanBias(model, level) {
  return combine([...model.weights], model.prompts.map((_, j) => biasOf(model.law(j).gaussian, level)));
}

/**
 * The predicted noise as a sum, in pixels: what the noisy picture gives, W_c z_t; what the prompt gives, b_c less the mean of all prompts' b;
 * and this mean. `total` is worked out by itself.
 * @param {Model} model @param {Gaussian} gaussian @param {Level} level @param {Float64Array} z noisy latent @param {Float64Array} common as meanBias gives
 */
export function takeApart(model, gaussian, level, z, common) {
  const { encoder } = model;
  const kept = keep(gaussian, level, z);
  const own = biasOf(gaussian, level);
  return {
    total: encoder.directions(gaussian.eps(level, z)),
    picture: encoder.directions(z.map((x, i) => (x - level.alpha * kept[i]) / level.sigma)),
    prompt: encoder.directions(own.map((x, i) => x - common[i])),
    bias: encoder.directions(common),
  };
}

/** Positions of a Gaussian's eigenvectors, those of the largest variance first. @param {Gaussian} gaussian */
export function modesOf(gaussian) {
  return Array.from(gaussian.variances.keys()).sort((a, b) => gaussian.variances[b] - gaussian.variances[a]);
}

/** One eigenvector, as a latent. @param {Gaussian} gaussian @param {number} j */
export function directionOf({ basis, k, r }, j) {
  return Float64Array.from({ length: k }, (_, i) => basis[i * r + j]);
}

/** Which share of a mode is kept at a level: alpha^2 lambda / (alpha^2 lambda + sigma^2). @param {number} variance @param {Level} level */
export function shareKept(variance, { alpha, sigma }) {
  if (sigma === 0) return 1;
  const signal = alpha * alpha * variance;
  return signal / (signal + sigma * sigma);
}

/** The first level at which half of a mode is kept, or the last one. @param {number} variance @param {Level[]} levels */
export function appearsAt(variance, levels) {
  const at = levels.findIndex((level) => shareKept(variance, level) >= 0.5);
  return at < 0 ? levels.length - 1 : at;
}

/** What the exact sampler makes of noise at a level. @param {Gaussian} gaussian @param {Level} level @param {Float64Array} noise */
export function exactAt(gaussian, level, noise) {
  return gaussian.flow(NOISE, level, noise);
}

/** What the exact sampler draws from noise. @param {Gaussian} gaussian @param {Float64Array} noise */
export function exactDraw(gaussian, noise) {
  return exactAt(gaussian, CLEAN, noise);
}

/** The same Gaussian with one eigenvalue multiplied, and its mean moved.
 * @param {Gaussian} gaussian @param {number} j @param {number} factor @param {Float64Array} move latent */
export function changed(gaussian, j, factor, move) {
  const variances = Float64Array.from(gaussian.variances);
  variances[j] *= factor;
  return new Gaussian(gaussian.mean.map((x, i) => x + move[i]), variances, gaussian.basis);
}

/** How a picture's difference in pixels moves its latent. @param {Model} model @param {Float64Array} pixels */
export function moveOf(model, pixels) {
  return matVec(fromPixels(model), pixels, model.k, model.d);
}

/** Means of products over n draws of (z, eps). @typedef {{n: number, means: Float64Array, products: Float64Array}} Draws */
/** An affine map. @typedef {{matrix: Float64Array, shift: Float64Array}} Affine */

/**
 * Training on drawn noise, as the article does it: z from a Gaussian with independent coordinates, eps from N(0, I), and the regression of
 * eps on z_t by least squares. Sums of products over the draws serve every level, so they are kept at several counts.
 */
export class DrawnTraining {
  /** @param {Float64Array} means (m,) of z @param {Float64Array} variances (m,) of z @param {number} seed */
  constructor(means, variances, seed) {
    this.means = means;
    this.variances = variances;
    this.m = means.length;
    this.stream = new Stream(seed, TRAINING);
    this.n = 0;
    this.sums = new Float64Array(2 * this.m);
    this.products = new Float64Array(4 * this.m * this.m);
    /** @type {Draws[]} at counts an even ratio apart */
    this.kept = [];
  }

  /** @param {number} count how many draws there shall be */
  drawUntil(count) {
    const { m, sums, products, stream } = this;
    const size = 2 * m;
    const draw = new Float64Array(size);
    const std = this.variances.map(Math.sqrt);
    while (this.n < count) {
      for (let i = 0; i < m; i++) draw[i] = this.means[i] + std[i] * stream.normal();
      for (let i = m; i < size; i++) draw[i] = stream.normal();
      for (let i = 0; i < size; i++) {
        sums[i] += draw[i];
        for (let j = 0, at = i * size; j <= i; j++, at++) products[at] += draw[i] * draw[j];
      }
      this.n += 1;
      if (isKept(this.n)) this.kept.push(this.moments());
    }
  }

  /** @returns {Draws} of all draws up to now */
  moments() {
    const { n, m } = this;
    const size = 2 * m;
    const products = new Float64Array(size * size);
    for (let i = 0; i < size; i++) for (let j = 0; j <= i; j++) products[i * size + j] = products[j * size + i] = this.products[i * size + j] / n;
    return { n, means: this.sums.map((x) => x / n), products };
  }

  /** Least squares of eps on z_t; as long as there are fewer draws than weights, the smallest solution.
   * @param {Draws} draws @param {Level} level @returns {Affine} */
  regression({ n, means, products }, { alpha, sigma }) {
    const { m } = this;
    const size = 2 * m;
    /** Of (z, eps) with coordinates i and j. */
    const cov = (/** @type {number} */ i, /** @type {number} */ j) => products[i * size + j] - means[i] * means[j];
    const noisy = new Float64Array(m * m);
    const cross = new Float64Array(m * m); // of z_t in rows and eps in columns
    for (let i = 0, at = 0; i < m; i++) for (let j = 0; j < m; j++, at++) {
      cross[at] = alpha * cov(i, m + j) + sigma * cov(m + i, m + j);
      noisy[at] = alpha * alpha * cov(i, j) + alpha * sigma * (cov(i, m + j) + cov(m + i, j)) + sigma * sigma * cov(m + i, m + j);
    }
    const matrix = transpose(n > m + 1 ? solve(noisy, cross, m, m) : multiply(pseudoInverse(noisy, m), cross, m, m, m), m, m);
    const from = matVec(matrix, Float64Array.from({ length: m }, (_, i) => alpha * means[i] + sigma * means[m + i]), m, m);
    return { matrix, shift: from.map((x, i) => means[m + i] - x) };
  }

  /** What infinitely many draws would give. @param {Level} level @returns {Affine} */
  closedForm({ alpha, sigma }) {
    const { m } = this;
    const matrix = new Float64Array(m * m);
    const shift = new Float64Array(m);
    for (let i = 0; i < m; i++) {
      matrix[i * m + i] = sigma / (alpha * alpha * this.variances[i] + sigma * sigma);
      shift[i] = -alpha * matrix[i * m + i] * this.means[i];
    }
    return { matrix, shift };
  }

  /** How far a regression is from the closed form: the root mean square of what their predictions differ by, over all z_t.
   * @param {Affine} map @param {Level} level */
  error({ matrix, shift }, level) {
    const { m } = this;
    const exact = this.closedForm(level);
    let sum = 0;
    for (let i = 0, at = 0; i < m; i++) {
      let off = shift[i] - exact.shift[i];
      for (let j = 0; j < m; j++, at++) {
        const x = matrix[at] - exact.matrix[at];
        sum += x * x * (level.alpha * level.alpha * this.variances[j] + level.sigma * level.sigma);
        off += x * level.alpha * this.means[j];
      }
      sum += off * off;
    }
    return Math.sqrt(sum / m);
  }

  /** What theory says of this error after n draws: the root of its mean square, (R / m) (1 / n + (1 + 1 / n) m / (n - m - 2)), where R is the
   * variance of the noise that nothing can predict. It is known for n > m + 2.
   * @param {number} n @param {Level} level */
  expectedError(n, level) {
    const { m } = this;
    const rest = this.variances.reduce((sum, v) => sum + shareKept(v, level), 0);
    return Math.sqrt((rest / m) * (1 / n + ((1 + 1 / n) * m) / (n - m - 2)));
  }
}

/** Counts at which moments are kept: 8 in each decade. @param {number} n */
function isKept(n) {
  const place = (/** @type {number} */ x) => Math.floor(8 * Math.log10(x) + 1e-9);
  return place(n) !== place(n - 1);
}

/** Some of a prompt's styles as one. @typedef {{styles: number[], share: number, mean: Float64Array}} Group */

/** A prompt's styles, merged two by two: each time those whose merging adds least to the variance within (Ward 1963). */
export class Merging {
  /** @param {Law} law */
  constructor(law) {
    this.law = law;
    /** @type {Map<string, Gaussian>} */
    this.gaussians = new Map();
    /** @type {Group[]} */
    const groups = Array.from(law.shares, (share, j) => ({ styles: [j], share, mean: law.matchedMeanOf(j) }));
    /** Groups by how many there are: `groups[n]` has n. @type {Group[][]} */
    this.groups = [];
    this.groups[groups.length] = [...groups];
    const cost = groups.map((a) => groups.map((b) => mergingCost(a, b)));
    while (groups.length > 1) {
      let best = [0, 1];
      for (let i = 0; i < groups.length; i++) for (let j = i + 1; j < groups.length; j++) if (cost[i][j] < cost[best[0]][best[1]]) best = [i, j];
      const [i, j] = best;
      const [a, b] = [groups[i], groups[j]];
      const share = a.share + b.share;
      groups[i] = { styles: [...a.styles, ...b.styles].sort((x, y) => x - y), share, mean: combine([a.share / share, b.share / share], [a.mean, b.mean]) };
      groups.splice(j, 1);
      cost.splice(j, 1);
      for (const row of cost) row.splice(j, 1);
      for (let l = 0; l < groups.length; l++) cost[i][l] = cost[l][i] = mergingCost(groups[i], groups[l]);
      this.groups[groups.length] = [...groups];
    }
  }

  /** 1, 2, 4, ... and all. */
  get counts() {
    const counts = [];
    for (let n = 1; n < this.law.size; n *= 2) counts.push(n);
    return [...counts, this.law.size];
  }

  /** The Gaussian that has the mean and covariance of a group's styles together, as samples are drawn from them. @param {Group} group */
  gaussian(group) {
    if (group.styles.length === 1) return this.law.component(group.styles[0]);
    const key = group.styles.join();
    let found = this.gaussians.get(key);
    if (!found) {
      found = this.#merged(group);
      this.gaussians.set(key, found);
    }
    return found;
  }

  /** @param {Group} group */
  #merged({ styles, share, mean }) {
    const { law } = this;
    const covariance = combine(styles.map((j) => law.shares[j] / share), styles.map((j) => law.component(j).covariance()));
    const k = mean.length;
    for (const j of styles) {
      const apart = law.matchedMeanOf(j).map((x, i) => x - mean[i]);
      for (let a = 0, at = 0; a < k; a++) for (let b = 0; b < k; b++, at++) covariance[at] += (law.shares[j] / share) * apart[a] * apart[b];
    }
    return Gaussian.fromCovariance(mean, covariance);
  }
}

/** @param {Group} a @param {Group} b */
function mergingCost(a, b) {
  const apart = a.mean.map((x, i) => x - b.mean[i]);
  return ((a.share * b.share) / (a.share + b.share)) * dot(apart, apart);
}

/** Mean and covariance of a Gaussian seen along two directions. @param {Gaussian} gaussian @param {Float64Array[]} axes two latents */
export function seenAlong(gaussian, axes) {
  const std = gaussian.variances.map(Math.sqrt);
  const rows = axes.map((axis) => gaussian.coordinates(axis).map((x, j) => x * std[j]));
  return {
    mean: axes.map((axis) => dot(axis, gaussian.mean)),
    covariance: [dot(rows[0], rows[0]), dot(rows[0], rows[1]), dot(rows[1], rows[1])],
  };
}
