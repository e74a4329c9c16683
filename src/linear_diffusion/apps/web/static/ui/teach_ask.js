/**
 * What a symbol can do as soon as it is learned: be drawn, be mixed, be freed of noise, and be completed.
 */

import { startRun } from "../math/model.js";
import { denoised, inpainter, pixelLaw } from "../math/restore.js";
import { startNoise } from "../math/streams.js";
import { button, captioned, choice, el, panel, slider } from "./dom.js";
import { picture } from "./paint.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./teach.js").Taught} Taught */
/** @typedef {{element: HTMLElement, update: (state: State, symbol: Taught) => void}} Part */

const SAMPLES_SHOWN = 8;
const MIXES_SHOWN = 7;

/** A picture of a prompt, by the exact sampler. @param {import("../math/model.js").Model} model @param {string} prompt @param {number} seed @param {number} [index] */
export function exactPicture(model, prompt, seed, index = 0) {
  return startRun(model, { prompt, sampler: "exact", nSteps: 1, seed, index }).finished;
}

/** Pictures of the symbol. @param {import("../main.js").App} app @returns {Part} */
export function samplesPart(app) {
  const { t } = app;
  const title = el("h3");
  const tiles = Array.from({ length: SAMPLES_SHOWN }, (_, i) => picture(app.base, t("teach.sample", { number: i + 1 }), "fill"));
  const element = el("div", { class: "panel" }, title, el("p", { class: "quiet" }, t("teach.samples.text", { count: SAMPLES_SHOWN })),
    el("div", { class: "samples" }, ...tiles.map((tile) => tile.canvas)),
    el("div", { class: "controls" }, button(t("teach.watch"), watch)));
  let of = "";
  let name = "";

  function watch() {
    app.set({ prompt: name, style: "", view: "sampler", step: 0 });
    app.player.play();
  }

  return {
    element,
    update({ seed }, symbol) {
      name = symbol.name;
      if (of === `${app.model.id} ${name} ${seed}`) return;
      of = `${app.model.id} ${name} ${seed}`;
      title.textContent = t("teach.samples", { name });
      tiles.forEach((tile, i) => tile.paint(exactPicture(app.model, name, seed, i)));
    },
  };
}

/** From another prompt to the symbol, in equal parts of the way. @param {import("../main.js").App} app @returns {Part} */
export function mixPart(app) {
  const { t } = app;
  const tiles = Array.from({ length: MIXES_SHOWN }, (_, i) => {
    const tile = picture(app.base, t("teach.mixed", { percent: Math.round((100 * i) / (MIXES_SHOWN - 1)) }), "fill");
    return { tile, share: i / (MIXES_SHOWN - 1), figure: captioned(tile.canvas, "", `${Math.round((100 * i) / (MIXES_SHOWN - 1))} %`) };
  });
  const other = choice({ name: t("teach.blend"), options: [], value: "", change: (blend) => app.set({ blend }) });
  const code = el("code");
  const open = button(t("teach.open"), () => app.set({ prompt: code.textContent ?? "", style: "", view: "sampler" }));
  const element = panel(t("teach.mix"), t("teach.mix.text"), el("div", { class: "mixes" }, ...tiles.map(({ figure }) => figure)),
    el("div", { class: "controls" }, other.element, open, el("p", {}, t("teach.asked"), " ", code)));
  let of = "";
  return {
    element,
    update({ seed, blend }, { name }) {
      const others = app.model.prompts.filter((prompt) => prompt !== name);
      const chosen = others.includes(blend) ? blend : others[0];
      const key = [app.model.id, name, seed, chosen].join(" ");
      if (of === key) return;
      of = key;
      other.control.replaceChildren(...others.map((value) => el("option", { value }, value)));
      other.set(chosen);
      code.textContent = mixOf(name, chosen, 0.5);
      for (const { tile, share } of tiles) tile.paint(exactPicture(app.model, mixOf(name, chosen, share), seed));
    },
  };
}

/** A mix as it is typed. @param {string} name @param {string} other @param {number} share */
function mixOf(name, other, share) {
  const [a, b] = [share, 1 - share].map((x) => Number(x.toFixed(4)));
  return share === 1 ? name : share === 0 ? other : `${name}:${a} ${other}:${b}`;
}

const HIDDEN_SIDES = ["right", "left", "lower", "upper"];

/** The drawing on the pad, or the last one, with noise and with a half hidden, and what the symbol's Gaussian makes of it.
 * @param {import("../main.js").App} app @returns {Part & {drawn: (pixels: Float64Array | null) => void}} */
export function restorePart(app) {
  const { t, base } = app;
  const { width, height, channels, d } = base;
  const tile = (/** @type {string} */ key) => picture(base, t(key), "fill");
  const [noisy, clean, half, whole] = ["teach.noisy", "teach.clean", "teach.half", "teach.whole"].map(tile);
  const eps = startNoise(1, 0, d);
  const grain = slider({
    name: t("teach.grain"), min: 0.05, max: 1.5, step: 0.05, value: 0.4, text: (x) => `${Math.round(100 * x)} %`, input: (x) => app.set({ grain: x }),
  });
  const side = choice({ name: t("teach.hidden"), options: HIDDEN_SIDES.map((key) => [key, t(`teach.hidden.${key}`)]), value: "right", change: (hidden) => app.set({ hidden }) });
  const pair = (/** @type {{canvas: HTMLElement}} */ a, /** @type {string} */ from, /** @type {{canvas: HTMLElement}} */ b, /** @type {string} */ to) =>
    el("div", { class: "becomes" }, captioned(a.canvas, t(from)), el("span", { class: "op", "aria-hidden": "true" }, "→"), captioned(b.canvas, t(to)));
  const element = el("div", { class: "columns" },
    panel(t("teach.denoise"), t("teach.denoise.text"), pair(noisy, "teach.noisy", clean, "teach.clean"), grain.element),
    panel(t("teach.inpaint"), t("teach.inpaint.text"), pair(half, "teach.half", whole, "teach.whole"), side.element));

  /** @type {Float64Array | null} */
  let onPad = null;
  /** @type {{key: string, law: import("../math/restore.js").PixelLaw} | null} */
  let known = null;
  /** @type {{key: string, hidden: boolean[], fill: (pixels: Float64Array) => Float64Array} | null} */
  let filling = null;
  let of = "";
  /** @type {[State, Taught] | null} */
  let last = null;

  /** Whether a pixel is on a side. @param {string} name */
  function mask(name) {
    return Array.from({ length: d }, (_, i) => {
      const at = Math.floor(i / channels);
      const [x, y] = [at % width, Math.floor(at / width)];
      return { right: x >= width / 2, left: x < width / 2, lower: y >= height / 2, upper: y < height / 2 }[name] ?? false;
    });
  }

  /** @param {State} state @param {Taught} symbol */
  function update(state, symbol) {
    last = [state, symbol];
    const law = `${app.model.id} ${symbol.prompt}`;
    const hidden = HIDDEN_SIDES.includes(state.hidden) ? state.hidden : HIDDEN_SIDES[0];
    const key = [law, hidden, state.grain, onPad ? "pad" : symbol.pictures.length].join(" ");
    if (of === key) return;
    of = key;
    grain.set(state.grain);
    side.set(hidden);
    if (known?.key !== law) known = { key: law, law: pixelLaw(app.model, symbol.prompt) };
    if (filling?.key !== law + hidden) {
      const isHidden = mask(hidden);
      filling = { key: law + hidden, hidden: isHidden, fill: inpainter(app.model, known.law, isHidden) };
    }
    paint(state.grain, onPad ?? symbol.pictures[symbol.pictures.length - 1].pixels);
  }

  /** @param {number} amount @param {Float64Array} pixels */
  function paint(amount, pixels) {
    if (!known || !filling) return;
    const { std } = base.encoder;
    const usual = Math.sqrt(std.reduce((sum, v) => sum + v * v, 0) / d);
    const noiseStd = (amount * (base.high - base.low)) / usual;
    const grainy = pixels.map((v, i) => v + noiseStd * std[i] * eps[i]);
    noisy.paint(grainy);
    clean.paint(denoised(app.model, known.law, grainy, noiseStd));
    const isHidden = filling.hidden;
    const middle = (base.low + base.high) / 2;
    const step = (base.high - base.low) / 12;
    half.paint(pixels.map((v, i) => (isHidden[i] ? middle + ((Math.floor(i / channels) + Math.floor(i / channels / width)) % 2 ? step : -step) : v)));
    whole.paint(filling.fill(pixels));
  }

  return {
    element,
    update,
    /** What is on the pad takes the place of the last drawing. @param {Float64Array | null} pixels */
    drawn(pixels) {
      onPad = pixels;
      of = "";
      if (last && !element.hidden) update(...last);
    },
  };
}
