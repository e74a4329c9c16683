/**
 * Noising: z -> z_t, and the schedules that say how much.
 *
 *     z_t = alpha_t z + sigma_t eps,   eps ~ N(0, I),   t from 0 (clean) to 1 (noise)
 *
 * As in Python's noise.py, whose comments cite the papers.
 */

/** @typedef {{alpha: number, sigma: number}} Level */

/** @type {Level} */
export const CLEAN = { alpha: 1, sigma: 0 };
/** Nothing but noise: where the exact flow starts. @type {Level} */
export const NOISE = { alpha: 0, sigma: 1 };

/** @typedef {{at: (t: number) => Level, levels: (nSteps: number) => Level[], nSteps: number | null}} Schedule */

/** @param {(t: number) => Level} at @param {number | null} [last] time of the last noisy level @param {number | null} [nSteps] @returns {Schedule} */
function schedule(at, last = null, nSteps = null) {
  return {
    at,
    nSteps,
    levels(n) {
      const end = last ?? 1 / n;
      const levels = Array.from({ length: n }, (_, i) => at(n === 1 ? 1 : 1 + ((end - 1) * i) / (n - 1)));
      return [...levels, CLEAN];
    },
  };
}

/** Through alpha_bar_i = prod (1 - beta) at t = i / 1000, log-linear in between. @param {(u: number) => number} beta of u in 0..1 */
function fromBetas(beta) {
  const n = 1000;
  const knots = new Float64Array(n + 1);
  for (let i = 0; i < n; i++) knots[i + 1] = knots[i] + Math.log1p(-beta(i / (n - 1)));
  return schedule((t) => {
    const i = Math.min(Math.floor(t * n), n - 1);
    const log = knots[i] + (t * n - i) * (knots[i + 1] - knots[i]);
    return { alpha: Math.exp(0.5 * log), sigma: Math.sqrt(-Math.expm1(log)) };
  });
}

/** @param {number} t */
function cosineAt(t) {
  const offset = 0.008;
  const cos = Math.cos((((t + offset) / (1 + offset)) * Math.PI) / 2);
  const alpha = t === 1 ? 0 : cos / Math.cos(((offset / (1 + offset)) * Math.PI) / 2);
  return { alpha, sigma: Math.sqrt(1 - alpha * alpha) };
}

/** @param {number} t */
function karrasAt(t) {
  const low = 0.002 ** (1 / 7);
  return { alpha: 1, sigma: (low + t * (80 ** (1 / 7) - low)) ** 7 };
}

/** @type {Record<string, Schedule>} */
export const SCHEDULES = {
  linear: fromBetas((u) => 1e-4 + u * (0.02 - 1e-4)),
  scaled_linear: fromBetas((u) => (0.01 + u * (Math.sqrt(0.02) - 0.01)) ** 2),
  sigmoid: fromBetas((u) => 1e-4 + (0.02 - 1e-4) / (1 + Math.exp(6 - 12 * u))),
  cosine: schedule(cosineAt),
  karras: schedule(karrasAt, 0),
  flow: schedule((t) => ({ alpha: 1 - t, sigma: t })),
  "one-step": schedule((t) => ({ alpha: 1, sigma: t }), null, 1),
};

/** The deviation of the noise that step samplers start from: 1, or sigma_T where alpha is 1. @param {Level} level */
export function startStd(level) {
  return level.alpha === 1 ? level.sigma : 1;
}
