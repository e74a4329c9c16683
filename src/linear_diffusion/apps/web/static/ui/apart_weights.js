/**
 * Every weight as a picture: the denoiser's matrix from pixels to pixels, and the vectors that it is made of.
 */

import { directionOf, modesOf, readingOf, strongest } from "../math/apart.js";
import { signedText } from "./apart_bench.js";
import { picker } from "./apart_pick.js";
import { button, captioned, choice, el } from "./dom.js";
import { largest, paintSigned, paintUnit, picture, signed, tile } from "./paint.js";

/** Pictures on a page of the gallery. */
const PAGE = 24;
/** Multiplications that the whole matrix may cost: of a larger one every second (third, ...) row and column of pixels is shown. */
const MATRIX_COST = 1.5e8;
/** How long the level rests before the whole matrix is worked out, in milliseconds. */
const MATRIX_REST = 120;

/** @param {import("./apart_bench.js").Bench} bench @returns {import("../main.js").View} */
export function weightsPart(bench) {
  const { app, model } = bench;
  const { t } = app;
  const { width, height, channels, k, d } = model;
  const level = bench.levelSlider();
  const output = choice({
    name: t("apart.output"), options: [["clean", t("apart.output.clean")], ["noise", t("apart.output.noise")]], value: app.state.output,
    change: (value) => app.set({ output: value }),
  });
  const channel = channelChoice(bench);
  let stride = 1;
  while (Math.ceil(width / stride) * Math.ceil(height / stride) * k * d > MATRIX_COST) stride += 1;
  const [columns, rows] = [Math.ceil(width / stride), Math.ceil(height / stride)];
  const whole = tile(columns * width, rows * height, t("apart.matrix"), "whole");
  const cell = () => Math.floor(Math.floor(bench.pixel / width) / stride) * columns + Math.floor((bench.pixel % width) / stride);
  const pixelOf = (/** @type {number} */ c) => Math.floor(c / columns) * stride * width + (c % columns) * stride;
  const pick = picker(whole.canvas, {
    columns, rows, label: t("apart.matrix.label"), at: cell,
    hover: (c) => { bench.hovered = c < 0 ? -1 : pixelOf(c); bench.refresh(); },
    choose: (c) => { bench.hovered = -1; app.set({ pixel: pixelOf(c) }); app.say(`${where.textContent} ${text.textContent}`); },
  });
  const one = signed(model, t("apart.row"), "fill");
  const where = el("strong", {});
  const text = el("span", {});
  const gallery = galleryOf(bench);
  const element = el("div", { class: "stack" },
    el("div", { class: "controls" }, level.element, output.element, channel && channel.element),
    el("div", { class: "pair" },
      captioned(pick.element, t("apart.matrix"), `${t("apart.matrix.text", { weights: (d * d).toLocaleString(app.language) })} ${t(channels === 1 ? "apart.matrix.grey" : "apart.matrix.colour")}`),
      el("figure", {}, one.canvas, el("figcaption", {}, where, text))),
    gallery.element);
  let waiting = 0;
  let painted = "";

  function reading(/** @type {number} */ index) {
    return readingOf(model, bench.gaussian, bench.level, index, app.state.output === "noise" ? "noise" : "clean");
  }

  /** @param {Float64Array} row */
  function says(row) {
    const most = strongest(row, bench.index);
    const at = Math.floor(most / channels);
    return t("apart.row.text", { own: signedText(row[bench.index]), most: signedText(row[most]), row: Math.floor(at / width) + 1, column: (at % width) + 1 });
  }

  function paintWhole() {
    const rowsOf = Array.from({ length: columns * rows }, (_, c) => reading(pixelOf(c) * channels + bench.channel));
    const scale = 0.5 * rowsOf.map(largest).sort((a, b) => a - b)[Math.floor(0.75 * rowsOf.length)]; // so that small weights are seen beside large ones
    const small = tile(width, height, "").image;
    rowsOf.forEach((row, c) => {
      paintRow(small.data, row, scale, channels);
      whole.context.putImageData(small, (c % columns) * width, Math.floor(c / columns) * height);
    });
  }

  return {
    element,
    update(state) {
      level.set(bench.time);
      output.set(state.output);
      channel?.set(String(bench.channel));
      pick.update();
      const row = reading(bench.index);
      one.paint(row);
      where.textContent = t("apart.row.of", { pixel: bench.where() });
      text.textContent = says(row);
      const key = JSON.stringify([bench.mix, bench.level, bench.channel, state.output]);
      if (key !== painted) {
        clearTimeout(waiting);
        waiting = window.setTimeout(paintWhole, painted ? MATRIX_REST : 0);
        painted = key;
      }
      gallery.update(state);
    },
    leave() {
      clearTimeout(waiting);
    },
  };
}

/** For pictures in colour, which channel of the output is looked at. @param {import("./apart_bench.js").Bench} bench */
export function channelChoice({ app, model, channel }) {
  if (model.channels === 1) return null;
  return choice({
    name: app.t("apart.channel"), options: [0, 1, 2].map((c) => [String(c), app.t(`apart.channel.${c}`)]), value: String(channel),
    change: (value) => app.set({ channel: Number(value) }),
  });
}

/** @param {Uint8ClampedArray} data @param {Float64Array} values @param {number} scale @param {number} channels */
function paintRow(data, values, scale, channels) {
  if (channels === 1) paintSigned(data, values, scale);
  else paintUnit(data, values.map((v) => 0.5 + (0.5 * v) / (scale || 1)), channels);
}

/** The vectors of the model, a page at a time. @param {import("./apart_bench.js").Bench} bench */
function galleryOf(bench) {
  const { app, model } = bench;
  const { t } = app;
  /** What there is of each kind: how many, and the picture and the number below of each.
   * @type {Record<string, () => {size: number, latent: (i: number) => Float64Array, isPicture: boolean, text: (i: number) => string}>} */
  const kinds = {
    components: () => ({
      size: model.k, isPicture: false, text: (i) => `${i + 1}`,
      latent: (i) => Float64Array.from({ length: model.k }, (_, j) => (i === j ? 1 : 0)),
    }),
    means: () => ({ size: model.prompts.length, isPicture: true, latent: (j) => model.law(j).mean, text: (j) => model.prompts[j] }),
    modes: () => {
      const order = modesOf(bench.gaussian);
      return {
        size: order.length, isPicture: false, latent: (i) => directionOf(bench.gaussian, order[i]),
        text: (i) => `${bench.gaussian.variances[order[i]].toPrecision(2)}`,
      };
    },
    styles: () => {
      const law = model.law(bench.mix[0][0]);
      return { size: law.size, isPicture: true, latent: (j) => law.meanOf(j), text: (j) => `${(100 * law.shares[j]).toFixed(1)} %` };
    },
  };
  const kind = choice({
    name: t("apart.gallery"), options: Object.keys(kinds).map((id) => [id, t(`apart.gallery.${id}`, { prompt: bench.name })]), value: kindOf(),
    change: (gallery) => app.set({ gallery, page: 0 }),
  });
  kind.element.classList.add("wide");
  const back = button("◀", () => app.set({ page: pageOf() - 1 }), { "aria-label": t("apart.gallery.back") });
  const on = button("▶", () => app.set({ page: pageOf() + 1 }), { "aria-label": t("apart.gallery.on") });
  const shown = el("output", {});
  const tiles = el("div", { class: "tiles close" });
  let painted = "";

  function kindOf() {
    return app.state.gallery in kinds ? app.state.gallery : "components";
  }

  function pageOf() {
    const pages = Math.ceil(kinds[kindOf()]().size / PAGE);
    return Math.max(0, Math.min(pages - 1, Math.floor(app.state.page)));
  }

  return {
    element: el("div", { class: "stack" }, el("div", { class: "controls" }, kind.element, back, on, shown), tiles),
    /** @param {import("./state.js").State} state */
    update(state) {
      const key = JSON.stringify([bench.mix, state.gallery, state.page]);
      if (key === painted) return;
      painted = key;
      const { size, latent, isPicture, text } = kinds[kindOf()]();
      const first = pageOf() * PAGE;
      const last = Math.min(size, first + PAGE);
      kind.set(kindOf());
      for (const option of kind.control.options) option.textContent = t(`apart.gallery.${option.value}`, { prompt: bench.name });
      back.disabled = first === 0;
      on.disabled = last === size;
      shown.textContent = t("apart.gallery.at", { first: first + 1, last, size });
      tiles.replaceChildren(...Array.from({ length: last - first }, (_, i) => {
        const label = `${t(`apart.gallery.${kindOf()}`, { prompt: bench.name })}: ${first + i + 1}`;
        const made = isPicture ? picture(model, label, "little") : signed(model, label, "little");
        made.paint(isPicture ? model.encoder.decode(latent(first + i)) : model.encoder.directions(latent(first + i)));
        return el("figure", {}, made.canvas, el("figcaption", { class: "number" }, text(first + i)));
      }));
    },
  };
}
