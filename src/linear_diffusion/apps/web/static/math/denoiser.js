/**
 * Denoiser: the exact one of a Gaussian, at any level.
 *
 *     z0_hat  = mu + alpha S (alpha^2 S + sigma^2 I)^-1 (z_t - alpha mu)         S = U diag(v) U'
 *     eps_hat = sigma (alpha^2 S + sigma^2 I)^-1 (z_t - alpha mu)                the Wiener filter
 *
 * As in Python's denoiser/gaussian.py. A prompt's styles are such Gaussians each.
 */

import { combine, dot, eigh, multiply, transpose, vecMat, matVec } from "./linalg.js";

/** @typedef {import("./noise.js").Level} Level */

/** Eigenvalues below this share of the largest are none: of a product of factors, in double precision. */
const ROUNDING = 1e-10;

/** `N(mean, U diag(variances) U')` with orthonormal columns U, of which there may be fewer than dimensions. */
export class Gaussian {
  /** @param {Float64Array} mean (k,) @param {Float64Array} variances (r,) @param {Float64Array} basis (k, r) */
  constructor(mean, variances, basis) {
    this.mean = mean;
    this.variances = variances;
    this.basis = basis;
    this.k = mean.length;
    this.r = variances.length;
  }

  /** @param {Float64Array} mean @param {Float64Array} covariance (k, k) */
  static fromCovariance(mean, covariance) {
    const { values, vectors } = eigh(covariance, mean.length);
    return new Gaussian(mean, values.map((v) => Math.max(v, 0)), vectors);
  }

  /** Of covariance F F'. @param {Float64Array} mean @param {Float64Array} factor (k, r) */
  static fromFactor(mean, factor) {
    const k = mean.length;
    const r = factor.length / k;
    const { values, vectors } = eigh(multiply(transpose(factor, k, r), factor, r, k, r), r);
    const most = values[r - 1];
    const variances = values.map((v) => (v > ROUNDING * most ? v : 0));
    for (let j = 0; j < r; j++) for (let i = 0; i < r; i++) vectors[i * r + j] *= variances[j] > 0 ? 1 / Math.sqrt(variances[j]) : 0;
    return new Gaussian(mean, variances, multiply(factor, vectors, k, r, r));
  }

  /** z in the basis, (r,). @param {Float64Array} z */
  coordinates(z) {
    return vecMat(z, this.basis, this.k, this.r);
  }

  /** How much of what is seen along each direction is picture, (r,): alpha v / (alpha^2 v + sigma^2). @param {Level} level */
  gain({ alpha, sigma }) {
    return this.variances.map((v) => (sigma === 0 ? 1 / alpha : (alpha * v) / (alpha * alpha * v + sigma * sigma)));
  }

  /** The predicted clean latent. @param {Level} level @param {Float64Array} z */
  z0(level, z) {
    if (level.sigma === 0) return z.map((x) => x / level.alpha);
    const gain = this.gain(level);
    const y = this.coordinates(z.map((x, i) => x - level.alpha * this.mean[i]));
    const out = matVec(this.basis, y.map((x, j) => x * gain[j]), this.k, this.r);
    for (let i = 0; i < this.k; i++) out[i] += this.mean[i];
    return out;
  }

  /** The predicted noise. @param {Level} level @param {Float64Array} z */
  eps(level, z) {
    return noiseOf(level, z, this.z0(level, z));
  }

  /** The exact flow from level t to level s: it carries the law at t to that at s. @param {Level} t @param {Level} s @param {Float64Array} z */
  flow(t, s, z) {
    const std = (/** @type {Level} */ l, /** @type {number} */ v) => Math.sqrt(l.alpha * l.alpha * v + l.sigma * l.sigma);
    const outside = t.sigma > 0 ? s.sigma / t.sigma : 0;
    const x = z.map((value, i) => value - t.alpha * this.mean[i]);
    const y = this.coordinates(x).map((value, j) => {
      const from = std(t, this.variances[j]);
      return value * ((from > 0 ? std(s, this.variances[j]) / from : 0) - outside);
    });
    const out = matVec(this.basis, y, this.k, this.r);
    for (let i = 0; i < this.k; i++) out[i] += s.alpha * this.mean[i] + outside * x[i];
    return out;
  }

  /** (k, k) */
  covariance() {
    return this.#inBasis(this.variances);
  }

  /** The matrix of z0_hat at a level, (k, k). @param {Level} level */
  matrix(level) {
    return this.#inBasis(this.gain(level));
  }

  /** @param {Float64Array} diagonal */
  #inBasis(diagonal) {
    const { k, r, basis } = this;
    return multiply(basis.map((x, i) => x * diagonal[i % r]), transpose(basis, k, r), k, r, k);
  }
}

/** The Gaussian of a mix: means and covariances are linear in the code. @param {Gaussian[]} gaussians @param {number[]} weights */
export function mixed(gaussians, weights) {
  if (gaussians.length === 1) return gaussians[0];
  const mean = combine(weights, gaussians.map((g) => g.mean));
  const k = mean.length;
  const rank = gaussians.reduce((sum, g) => sum + g.r, 0);
  if (rank >= k) return Gaussian.fromCovariance(mean, combine(weights, gaussians.map((g) => g.covariance())));
  const factor = new Float64Array(k * rank);
  let first = 0;
  gaussians.forEach((g, n) => {
    for (let i = 0; i < k; i++) for (let j = 0; j < g.r; j++) factor[i * rank + first + j] = Math.sqrt(weights[n] * g.variances[j]) * g.basis[i * g.r + j];
    first += g.r;
  });
  return Gaussian.fromFactor(mean, factor);
}

/** eps_hat of a z0_hat. @param {Level} level @param {Float64Array} z @param {Float64Array} z0 */
export function noiseOf({ alpha, sigma }, z, z0) {
  return z.map((x, i) => (sigma > 0 ? (x - alpha * z0[i]) / sigma : 0));
}

/** Classifier-free guidance, with the length of z0_hat kept above a scale of 1, as in Python's guidance.py.
 * @param {Float64Array} own z0_hat of the prompt @param {Float64Array} other z0_hat of what it is led away from @param {number} scale */
export function guide(own, other, scale) {
  const guided = own.map((x, i) => scale * x + (1 - scale) * other[i]);
  if (scale <= 1) return guided;
  const length = Math.sqrt(dot(guided, guided));
  const kept = Math.sqrt(dot(own, own));
  return length > 0 ? guided.map((x) => (x * kept) / length) : guided;
}
