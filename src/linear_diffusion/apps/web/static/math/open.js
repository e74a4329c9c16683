/**
 * Open: a model from the two files that Python's `save_pretrained` writes; each array is checked before use.
 */

import { DetailCurve, Encoder, Format, ToneCurve } from "./image.js";
import { Law, Model } from "./model.js";
import { numbersOf, parseSafetensors } from "./safetensors.js";

/** Files that are no model, or one that this page cannot show. */
export class ModelError extends Error {}

/** The format of saved models that this page reads. */
const FORMAT = 4;

/** A model from the content of its two files; throws a ModelError that says what is wrong with them.
 * @param {any} config @param {Uint8Array} bytes */
export function openModel(config, bytes) {
  checkConfig(config);
  try {
    return modelOf(config, parseSafetensors(bytes));
  } catch (error) {
    if (error instanceof ModelError) throw error;
    throw new ModelError(`the weights cannot be read (images of dtype ${config.image.dtype}): ${error instanceof Error ? error.message : error}`);
  }
}

/** Throws a ModelError where a configuration is of no model that this page can show. @param {any} config */
export function checkConfig(config) {
  if (typeof config !== "object" || config === null || !("linear_diffusion" in config)) throw new ModelError("config.json is not the configuration of a linear diffusion model");
  if (config.format !== FORMAT) throw new ModelError(`config.json has format ${config.format}; this page reads ${FORMAT}`);
  const { shape } = config.image;
  if (config.params.text_encoder !== "one-hot") throw new ModelError(`it has text_encoder "${config.params.text_encoder}"; this page shows models of one-hot prompts`);
  if (config.params.training !== "exact") throw new ModelError('it was fitted with training="sampled"; this page shows models with training="exact"');
  if (!(shape.length === 2 || (shape.length === 3 && shape[2] === 3))) throw new ModelError(`its images are arrays of shape ${shape.join(" x ")}; this page shows grey and RGB pictures`);
}

/** A model from its configuration and its arrays; a model that it grew from lends it the encoder and the curves.
 * @param {any} config @param {Map<string, import("./safetensors.js").Tensor>} arrays @param {Model | null} [from] */
export function modelOf(config, arrays, from = null) {
  const format = new Format(config.image);
  const prompts = config.prompts.values.map(String);
  /** @param {string} name @param {...number} shape */
  const need = (name, ...shape) => {
    const found = arrays.get(name);
    if (!found) throw new ModelError(`array "${name}" is missing from the weights`);
    if (shape.length && shape.join() !== found.shape.join()) throw new ModelError(`array "${name}" has shape ${found.shape.join(" x ")}; it must be ${shape.join(" x ")}`);
    return found;
  };
  const d = format.width * format.height * format.channels;
  const p = prompts.length;
  const [k] = need("encoder.components").shape;
  const all = (/** @type {string} */ name, /** @type {number[]} */ ...shape) => finite(name, numbersOf(need(name, ...shape)));
  const encoder = from?.encoder ?? new Encoder({
    mean: all("encoder.mean", d), std: all("encoder.std", d), components: all("encoder.components", k, d), variances: all("encoder.variances", k),
    totalVariance: all("encoder.total_variance")[0], scale: all("encoder.scale")[0],
  });
  const owner = all("prior.owner");
  const m = owner.length;
  const [, , r] = need("prior.factors").shape;
  const starts = Array.from({ length: p + 1 }, (_, j) => owner.findIndex((o) => o >= j)).map((at) => (at < 0 ? m : at));
  // Prompts with few images are a family, which shares basis, variances, gain and details.
  const family = arrays.has("prior.family") ? all("prior.family", p) : Float64Array.from({ length: p }, (_, j) => j);
  const g = family.reduce((most, j) => Math.max(most, j + 1), 0);
  const tables = {
    shares: need("prior.shares", m), means: need("prior.component_means", m, k), factors: need("prior.factors", m, k, r), unit: need("prior.unit", m),
    basis: need("prior.basis", g, k, k), variances: need("prior.variances", g, k),
    gain: arrays.has("prior.gain") ? need("prior.gain", g, k) : null, matched: arrays.has("prior.matched_means") ? need("prior.matched_means", m, k) : null,
  };
  /** @param {number} j */
  const lawOf = (j) => {
    const [from, to] = [starts[j], starts[j + 1]];
    const unit = numbersOf(tables.unit, from, to);
    const own = family[j];
    return new Law({
      shares: numbersOf(tables.shares, from, to),
      means: numbersOf(tables.means, from * k, to * k),
      factors: numbersOf(tables.factors, from * k * r, to * k * r).map((x, i) => x * unit[Math.floor(i / (k * r))]),
      basis: numbersOf(tables.basis, own * k * k, (own + 1) * k * k),
      variances: numbersOf(tables.variances, own * k, (own + 1) * k),
      gain: tables.gain && numbersOf(tables.gain, own * k, (own + 1) * k),
      matchedMeans: tables.matched && numbersOf(tables.matched, from * k, to * k),
    });
  };
  const curves = Int32Array.from(all("prior.curves", m));
  const n = curves.reduce((most, curve) => Math.max(most, curve + 1), 0);
  const familyOfCurve = Array.from({ length: n }, (_, curve) => family[owner[curves.indexOf(curve)]]);
  const c = format.channels;
  const low = arrays.has("tone.low") ? all("tone.low", n, c) : null;
  const step = low && all("tone.step", n, c);
  const table = low && need("tone.table", n, c, 4096);
  const tones = Array.from({ length: n }, (_, i) => from?.parts.tones[i] ??
    (low && step && table ? new ToneCurve(low.slice(i * c, (i + 1) * c), step.slice(i * c, (i + 1) * c), numbersOf(table, i * c * 4096, (i + 1) * c * 4096)) : null));
  const shift = arrays.has("detail.shift") ? need("detail.shift", g, c, 3, 1021) : null;
  const levels = shift && need("detail.table", g, c, 4081);
  const detailOf = Array.from({ length: g }, (_, j) =>
    shift && levels ? new DetailCurve(numbersOf(shift, j * c * 3063, (j + 1) * c * 3063), numbersOf(levels, j * c * 4081, (j + 1) * c * 4081)) : null);
  return new Model({
    config, prompts, weights: all("prior.weights", p), encoder, format, residual: all("prior.residual", p), lawOf,
    curvesOf: (j) => curves.slice(starts[j], starts[j + 1]), tones, details: familyOfCurve.map((j) => detailOf[j]), nStyles: m, arrays,
  });
}

/** @param {string} name @param {Float64Array} numbers */
function finite(name, numbers) {
  if (!numbers.every(Number.isFinite)) throw new ModelError(`array "${name}" holds numbers that are not finite`);
  return numbers;
}
