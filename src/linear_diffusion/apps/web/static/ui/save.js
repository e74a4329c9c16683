/**
 * Save: what the page shows, as files and as Python.
 */

import { parsePrompt } from "../math/model.js";
import { SCHEDULES } from "../math/noise.js";
import { SAMPLERS } from "../math/sampler.js";
import { encodeGif } from "./gif.js";
import { el } from "./dom.js";
import { paintUnit } from "./paint.js";

/** @typedef {import("../math/model.js").Model} Model @typedef {import("../math/model.js").Run} Run */

/** Saved pictures are about this many pixels wide, by whole pixels. */
const WIDE = 512;
/** A GIF's frames and its length, in hundredths of a second. */
const FRAMES = 40;
const DURATION_OF_GIF = 400;
const LAST_FRAME = 200;

/** Gives the visitor a file. @param {string} name @param {Blob} blob */
export function saveFile(name, blob) {
  const href = URL.createObjectURL(blob);
  const link = el("a", { href, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(href), 60000);
}

/** A name for files of a run. @param {Run} run @param {string} ending */
export function fileName({ request }, ending) {
  const words = request.prompt.replace(/[^\p{L}\p{N}.]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60);
  return `${words || "picture"}-seed-${request.seed}.${ending}`;
}

/** By how much pictures are enlarged. @param {Model} model @param {number} wide */
function enlargement({ width, height }, wide) {
  return Math.max(1, Math.floor(wide / Math.max(width, height)));
}

/** A picture as a PNG, each pixel a square of pixels. @param {Model} model @param {Float64Array} pixels @returns {Promise<Blob>} */
export function pngOf(model, pixels) {
  const times = enlargement(model, WIDE);
  const small = el("canvas", { width: model.width, height: model.height });
  const large = el("canvas", { width: times * model.width, height: times * model.height });
  const [from, to] = [small, large].map((canvas) => /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")));
  const image = from.createImageData(model.width, model.height);
  paintUnit(image.data, model.unit(pixels), model.channels);
  from.putImageData(image, 0, 0);
  to.imageSmoothingEnabled = false;
  to.drawImage(small, 0, 0, large.width, large.height);
  return new Promise((resolve, reject) => large.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no PNG"))), "image/png"));
}

/** A run as a GIF, from the noise to the finished picture. @param {Model} model @param {Run} run */
export function gifOf(model, run) {
  const { width, height } = model;
  const times = enlargement(model, WIDE / 2);
  const count = Math.min(FRAMES, run.nSteps + 1);
  const path = Array.from({ length: count }, (_, i) => model.encoder.decode(run.z[Math.round((i * run.nSteps) / Math.max(1, count - 1))]));
  const frames = [...path, run.finished].map((pixels, i) => {
    const data = new Uint8ClampedArray(4 * width * height);
    paintUnit(data, model.unit(pixels), model.channels);
    return { rgb: Uint8Array.from(data.filter((_, j) => j % 4 !== 3)), delay: i < count ? Math.max(2, Math.round(DURATION_OF_GIF / count)) : LAST_FRAME };
  });
  return new Blob([encodeGif({ width, height, times, frames })], { type: "image/gif" });
}

/** Python that draws a run's picture: the arguments that are not usual. @param {Model} model @param {Run} run */
export function pythonOf(model, { request, mix, nSteps }) {
  const { guidanceScale = 1, negative = "", sampler = "exact", eta = 0, seed, style = "" } = request;
  const schedule = request.schedule || model.schedule;
  const usual = sampler === "one-step" ? 1 : SCHEDULES[schedule].nSteps ?? SAMPLERS[sampler]?.nSteps ?? 50;
  const text = JSON.stringify;
  /** @param {[number, number][]} parts */
  const prompt = (parts) =>
    parts.length === 1 ? text(model.prompts[parts[0][0]]) : `{${parts.map(([j, weight]) => `${text(model.prompts[j])}: ${weight}`).join(", ")}}`;
  const given = [
    `prompts=${prompt(mix)}`,
    `sampler=${text(sampler)}`,
    nSteps !== usual && `n_steps=${nSteps}`,
    sampler === "ddim" && eta !== 0 && `eta=${eta}`,
    guidanceScale !== 1 && `guidance_scale=${guidanceScale}`,
    guidanceScale !== 1 && negative !== "" && `negative_prompts=${prompt(parsePrompt(negative, model))}`,
    style !== "" && `styles=${style}`,
    `random_state=${seed}`,
    "return_trajectory=True",
  ].filter((part) => part);
  return [
    "from linear_diffusion import LinearDiffusion, pictures",
    "",
    'model = LinearDiffusion.from_pretrained("model")',
    ...(schedule === model.schedule ? [] : [`model.set_params(schedule=${text(schedule)})`]),
    "images, prompts, trajectory = model.sample(",
    ...given.map((part) => `    ${part},`),
    ")",
    'pictures.show(images).save("picture.png")',
  ].join("\n");
}
