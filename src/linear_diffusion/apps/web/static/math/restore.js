/**
 * Restore: a picture from what is seen of it, when its prompt is one Gaussian; exact, as Python's tasks/posterior.py is for one component.
 *
 *     x = mean + std (U w + e),   w ~ N(m, C),   e ~ N(0, tau^2 (I - U U'))        U: the principal components in columns
 *
 *     with noise s on all pixels      E[w | y] = m + C (C + s^2 I)^-1 (U' y - m)       e is kept by tau^2 / (tau^2 + s^2)
 *     with pixels hidden              E[x_hidden | x_seen] = U_hidden (m + g)          (tau^2 I + M A) g = M U_seen' (x_seen - U_seen m)
 *                                     M = C - tau^2 I,  A = U_seen' U_seen             (the Gaussian posterior, by the push-through identity)
 */

import { matVec, multiply, solve, vecMat } from "./linalg.js";

/** @typedef {import("./model.js").Model} Model */
/** The law of a prompt's standardised pixels about the encoder's mean. @typedef {{m: Float64Array, covariance: Float64Array, tau2: number}} PixelLaw */

/** Variances of a direction below this share of a pixel's mean variance are rounding, as in Python's image/pca.py. */
const VARIANCE_FLOOR = 1e-6;

/** The law of a prompt of one style. @param {Model} model @param {number} prompt @returns {PixelLaw} */
export function pixelLaw(model, prompt) {
  const { encoder, k, d } = model;
  const law = model.law(prompt);
  const floor = (VARIANCE_FLOOR * encoder.totalVariance) / d;
  return {
    m: law.mean.map((v) => v / encoder.scale),
    covariance: law.within(floor * encoder.scale ** 2).map((v) => v / encoder.scale ** 2),
    tau2: Math.max(model.parts.residual[prompt] / Math.max(d - k, 1), floor),
  };
}

/** The posterior mean of a picture with noise, of a deviation in standardised pixels.
 * @param {Model} model @param {PixelLaw} law @param {Float64Array} noisy @param {number} noiseStd */
export function denoised(model, { m, covariance, tau2 }, noisy, noiseStd) {
  const { encoder, k, d } = model;
  const s2 = noiseStd ** 2;
  const y = standardised(encoder, noisy);
  const w = matVec(encoder.components, y, k, d);
  const rest = vecMat(w, encoder.components, k, d);
  const found = matVec(covariance, solve(plusDiagonal(covariance, s2, k), w.map((v, i) => v - m[i]), k), k, k);
  const along = vecMat(found.map((v, i) => v + m[i]), encoder.components, k, d);
  const across = tau2 / (tau2 + s2);
  return along.map((v, i) => encoder.mean[i] + encoder.std[i] * (v + across * (y[i] - rest[i])));
}

/** What fills in pixels that are hidden, from those that are seen: a map that is worked out once for a law and a mask.
 * @param {Model} model @param {PixelLaw} law @param {boolean[]} hidden (d,) */
export function inpainter(model, { m, covariance, tau2 }, hidden) {
  const { encoder, k, d } = model;
  const seen = hidden.flatMap((h, i) => (h ? [] : [i]));
  const own = new Float64Array(k * seen.length);
  for (let a = 0; a < k; a++) for (let j = 0; j < seen.length; j++) own[a * seen.length + j] = encoder.components[a * d + seen[j]];
  const gram = new Float64Array(k * k);
  for (let a = 0; a < k; a++) for (let b = 0; b <= a; b++) {
    let sum = 0;
    for (let j = 0, x = a * seen.length, y = b * seen.length; j < seen.length; j++, x++, y++) sum += own[x] * own[y];
    gram[a * k + b] = gram[b * k + a] = sum;
  }
  const less = plusDiagonal(covariance, -tau2, k);
  const solved = linearSolver(plusDiagonal(multiply(less, gram, k, k, k), tau2, k), k);
  const mean = vecMat(m, encoder.components, k, d);
  /** @param {Float64Array} pixels those that are hidden are not looked at */
  return (pixels) => {
    const x = standardised(encoder, pixels);
    const told = matVec(own, Float64Array.from(seen, (i) => x[i] - mean[i]), k, seen.length);
    const filled = vecMat(solved(matVec(less, told, k, k)), encoder.components, k, d);
    return pixels.map((v, i) => (hidden[i] ? encoder.mean[i] + encoder.std[i] * (mean[i] + filled[i]) : v));
  };
}

/** @param {import("./image.js").Encoder} encoder @param {Float64Array} pixels */
function standardised({ mean, std }, pixels) {
  return pixels.map((v, i) => (v - mean[i]) / std[i]);
}

/** a + x I. @param {Float64Array} a (k, k) @param {number} x @param {number} k */
function plusDiagonal(a, x, k) {
  const out = Float64Array.from(a);
  for (let i = 0; i < k; i++) out[i * k + i] += x;
  return out;
}

/** b -> x of a x = b, for any regular matrix (k, k): elimination with the largest pivot of each column. @param {Float64Array} a @param {number} k */
function linearSolver(a, k) {
  const rows = Array.from({ length: k }, (_, i) => a.slice(i * k, (i + 1) * k));
  const order = Array.from({ length: k }, (_, i) => i);
  for (let column = 0; column < k; column++) {
    let pivot = column;
    for (let i = column + 1; i < k; i++) if (Math.abs(rows[i][column]) > Math.abs(rows[pivot][column])) pivot = i;
    [rows[column], rows[pivot]] = [rows[pivot], rows[column]];
    [order[column], order[pivot]] = [order[pivot], order[column]];
    const top = rows[column];
    for (let i = column + 1; i < k; i++) {
      const row = rows[i];
      const times = (row[column] /= top[column]);
      for (let j = column + 1; j < k; j++) row[j] -= times * top[j];
    }
  }
  /** @param {Float64Array} b */
  return (b) => {
    const x = Float64Array.from(order, (i) => b[i]);
    for (let i = 0; i < k; i++) for (let j = 0; j < i; j++) x[i] -= rows[i][j] * x[j];
    for (let i = k - 1; i >= 0; i--) {
      for (let j = i + 1; j < k; j++) x[i] -= rows[i][j] * x[j];
      x[i] /= rows[i][i];
    }
    return x;
  };
}
