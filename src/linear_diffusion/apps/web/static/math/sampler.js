/**
 * Samplers: noise -> z_0, as coefficients of a step.
 *
 *     z_s = z z_t + z0 z0_hat(z_t) + previous (the last z0_hat) + predicted z0_hat(ddim's z_s) + noise eps
 *
 * Coefficients depend on the levels t and s alone, so every schedule goes with every sampler. As in Python's sampler.py, whose comments
 * cite the papers.
 */

import { combine, dot } from "./linalg.js";
import { CLEAN, startStd } from "./noise.js";

/** @typedef {import("./noise.js").Level} Level */
/** @typedef {{z: number, z0: number, noise: number, previous: number, predicted: number}} Step */
/** @typedef {{step: (t: Level, s: Level, u: Level | null, eta: number) => Step, nSteps: number}} Sampler */

/** @param {Level} t @param {Level} s */
function posteriorStd(t, s) {
  const added = t.sigma ** 2 - ((t.alpha / s.alpha) * s.sigma) ** 2;
  return (Math.sqrt(Math.max(added, 0)) * s.sigma) / t.sigma;
}

/** @param {Level} level */
function logSnr(level) {
  return level.alpha === 0 ? -Infinity : Math.log(level.alpha) - Math.log(level.sigma);
}

/** @param {Partial<Step>} given @returns {Step} */
function step(given) {
  return { z: 0, z0: 0, noise: 0, previous: 0, predicted: 0, ...given };
}

/** @param {Level} t @param {Level} s @param {Level | null} [u] @param {number} [eta] */
export function ddim(t, s, u = null, eta = 0) {
  const noise = eta * posteriorStd(t, s);
  const keep = Math.sqrt(Math.max(s.sigma ** 2 - noise ** 2, 0)) / t.sigma;
  return step({ z: keep, z0: s.alpha - t.alpha * keep, noise });
}

/** @param {Level} t @param {Level} s */
function ddpm(t, s) {
  const weight = (t.alpha / s.alpha) * (s.sigma / t.sigma) ** 2;
  return step({ z: weight, z0: s.alpha - t.alpha * weight, noise: posteriorStd(t, s) });
}

/** @param {Level} t @param {Level} s */
function heun(t, s) {
  if (t.alpha === 0 || s.sigma === 0) return ddim(t, s);
  const euler = ddim(t, s);
  const half = (s.alpha * (s.sigma / s.alpha - t.sigma / t.alpha)) / 2;
  return step({
    z: s.alpha / t.alpha + half / t.sigma + (half * euler.z) / s.sigma,
    z0: (-half * t.alpha) / t.sigma + (half * euler.z0) / s.sigma,
    predicted: (-half * s.alpha) / s.sigma,
  });
}

/** @param {Level} t @param {Level} s @param {Level | null} u */
function dpmpp2m(t, s, u) {
  if (u === null || s.sigma === 0) return ddim(t, s);
  const h = logSnr(s) - logSnr(t);
  const ahead = h / (2 * (logSnr(t) - logSnr(u)));
  const b = -s.alpha * Math.expm1(-h);
  return step({ z: s.sigma / t.sigma, z0: b * (1 + ahead), previous: -b * ahead });
}

/** All but "exact", which has no steps. @type {Record<string, Sampler>} */
export const SAMPLERS = {
  "one-step": { step: (t) => ddim(t, CLEAN), nSteps: 1 },
  ddpm: { step: ddpm, nSteps: 1000 },
  ddim: { step: ddim, nSteps: 50 },
  euler: { step: (t, s) => ddim(t, s), nSteps: 50 },
  heun: { step: heun, nSteps: 50 },
  dpmpp_2m: { step: dpmpp2m, nSteps: 50 },
};

export const SAMPLER_NAMES = ["exact", ...Object.keys(SAMPLERS)];

/**
 * Goes down the levels from z: at each, z0_hat, and z at the next.
 * @param {Sampler} sampler
 * @param {Level[]} levels
 * @param {(level: Level, z: Float64Array) => Float64Array} z0At
 * @param {Float64Array} z
 * @param {Iterator<Float64Array>} noise
 * @param {number} eta
 * @returns {{z: Float64Array[], z0: Float64Array[]}} n + 1 and n of them
 */
export function runSteps(sampler, levels, z0At, z, noise, eta) {
  const path = [z];
  /** @type {Float64Array[]} */
  const predicted = [];
  for (let i = 0; i + 1 < levels.length; i++) {
    const [t, s] = [levels[i], levels[i + 1]];
    const by = sampler.step(t, s, i > 0 ? levels[i - 1] : null, eta);
    const z0 = z0At(t, z);
    const weights = [by.z, by.z0];
    const parts = [z, z0];
    if (by.previous && i > 0) {
      weights.push(by.previous);
      parts.push(predicted[i - 1]);
    }
    if (by.predicted) {
      const guess = ddim(t, s);
      weights.push(by.predicted);
      parts.push(z0At(s, combine([guess.z, guess.z0], [z, z0])));
    }
    if (by.noise) {
      weights.push(by.noise);
      parts.push(noise.next().value);
    }
    predicted.push(z0);
    z = combine(weights, parts);
    path.push(z);
  }
  return { z: path, z0: predicted };
}

/** Whether the steps of a run add noise. @param {Sampler} sampler @param {Level[]} levels @param {number} eta */
export function addsNoise(sampler, levels, eta) {
  return levels.slice(1).some((s, i) => sampler.step(levels[i], s, null, eta).noise !== 0);
}

/**
 * Noise for a run whose steps add some, such that it ends where Python's compiled run comes to from eps (k,): its start, and its steps'.
 * See `bridge` in Python's sampler.py.
 * @param {Sampler} sampler
 * @param {Level[]} levels
 * @param {import("./denoiser.js").Gaussian} gaussian
 * @param {Float64Array} eps
 * @param {() => Iterator<Float64Array>} noise begins anew at each call
 * @param {number} eta
 * @returns {{start: Float64Array, noise: Iterator<Float64Array>}}
 */
export function bridge(sampler, levels, gaussian, eps, noise, eta) {
  const { r, k, variances, basis } = gaussian;
  let after = new Float64Array(r).fill(1);
  /** @type {Float64Array[]} */
  let weights = [];
  for (let i = levels.length - 2; i >= 0; i--) {
    const by = sampler.step(levels[i], levels[i + 1], null, eta);
    const { alpha, sigma } = levels[i];
    if (by.noise) weights.push(after.map((a) => by.noise * a));
    after = after.map((a, j) => a * (by.z + (by.z0 * alpha * variances[j]) / (alpha * alpha * variances[j] + sigma * sigma)));
  }
  if (weights.length === 0) return { start: eps, noise: noise() };
  const std = startStd(levels[0]);
  weights = [...weights, after.map((a) => std * a)].reverse();
  const length = Float64Array.from({ length: r }, (_, j) => Math.sqrt(weights.reduce((sum, w) => sum + w[j] * w[j], 0)));
  weights = weights.map((w) => w.map((x, j) => (length[j] > 0 ? x / length[j] : 0)));
  const coordinates = (/** @type {Float64Array} */ z) => gaussian.coordinates(z);
  const move = coordinates(eps);
  let fresh = noise();
  for (const w of weights) {
    const own = coordinates(fresh.next().value);
    for (let j = 0; j < r; j++) move[j] -= w[j] * own[j];
  }
  fresh = noise();
  const steps = (function* () {
    for (const w of weights) {
      const out = Float64Array.from(fresh.next().value);
      const shift = w.map((x, j) => x * move[j]);
      for (let i = 0; i < k; i++) out[i] += dot(basis.subarray(i * r, (i + 1) * r), shift);
      yield out;
    }
  })();
  return { start: /** @type {Float64Array} */ (steps.next().value), noise: steps };
}
