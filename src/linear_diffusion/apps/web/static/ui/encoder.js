/**
 * The view of the station "encoder": a drawing goes in, becomes a few numbers, and comes back through 2, 10, 50, ... of them.
 */

import { startRun } from "../math/model.js";
import { barPlot } from "./bars.js";
import { button, captioned, el, heading, panel, slider, write } from "./dom.js";
import { chosenPicture } from "./noised.js";
import { percent } from "./numbers.js";
import { drawingPad, packDrawing, unpackDrawing } from "./pad.js";
import { largest, picture, signed } from "./paint.js";
import { linePlot } from "./plot.js";

/** Through how many components a drawing comes back, side by side: those of these that the model has, and all. */
const COMPONENT_COUNTS = [2, 5, 10, 20, 50, 100, 200];
/** How many components are shown as pictures, at most. */
const COMPONENTS_SHOWN = 48;

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function encoderView(app) {
  const { model, t } = app;
  const { encoder, k, d } = model;
  const explained = cumulated(encoder.variances, encoder.totalVariance);

  /** What was last put on the pad, or drawn on it. */
  let onPad = "";
  const pad = drawingPad(app, { label: t("encoder.pad"), change: (pixels) => { onPad = packDrawing(model, pixels); app.set({ drawing: onPad }); } });
  let samples = 0;
  pad.buttons.append(button(t("encoder.sample"), takeSample));

  /** Puts another picture of the prompt on the pad. */
  function takeSample() {
    samples += 1;
    const { finished } = startRun(model, { ...app.run().request, style: "", index: samples });
    app.set({ drawing: packDrawing(model, finished) });
  }

  const count = slider({ name: t("encoder.count"), min: 0, max: k, step: 1, value: k, input: (x) => app.set({ components: x }) });
  const back = picture(model, t("encoder.back"), "fill");
  const missing = signed(model, t("encoder.missing"), "fill");
  const held = el("p", {});
  const source = el("p", { class: "quiet small" });
  const counts = [...COMPONENT_COUNTS.filter((n) => n < k), k];
  const row = counts.map((n) => {
    const tile = picture(model, "", "fill");
    tile.canvas.setAttribute("aria-hidden", "true");
    return { n, tile, button: el("button", { type: "button", class: "cell", "aria-label": t("encoder.through", { n }), on: { click: () => app.set({ components: n }) } }, tile.canvas, el("strong", {}, n)) };
  });

  const bars = barPlot({ label: t("encoder.latent.label", { k }), xName: t("encoder.component"), yName: "z" });
  const curve = linePlot({ label: t("encoder.explained.label"), xName: t("encoder.count"), yName: "%", xRange: [0, k], yRange: [0, 100], ratio: 0.5 });
  const parts = Array.from({ length: Math.min(k, COMPONENTS_SHOWN) }, (_, i) => {
    const tile = signed(model, "", "fill");
    tile.paint(encoder.components.subarray(i * d, (i + 1) * d));
    const value = el("span", { class: "number" });
    tile.canvas.setAttribute("aria-hidden", "true");
    return { tile, value, element: el("li", { class: "cell" }, tile.canvas, el("strong", {}, i + 1), value) };
  });

  const element = el("div", { class: "view" },
    heading(t("encoder.title"), t("encoder.here", { d, k }), el("p", { class: "quiet" }, t("encoder.real"))),
    el("div", { class: "columns draw" },
      panel(t("encoder.draw"), "", pad.element),
      panel(t("encoder.back"), "", el("div", { class: "twos" }, captioned(back.canvas, t("encoder.back")), captioned(missing.canvas, t("encoder.missing"))), count.element, held, source)),
    panel(t("encoder.row"), t("encoder.row.text"), el("div", { class: "cells strip", role: "group", "aria-label": t("encoder.row") }, ...row.map(({ button }) => button))),
    el("div", { class: "columns" },
      panel(t("encoder.latent"), t("encoder.latent.text", { k }), bars.canvas),
      panel(t("encoder.explained"), t("encoder.explained.text"), curve.canvas)),
    panel(t("encoder.components"), t("encoder.components.text", { shown: parts.length, k }), el("ul", { class: "cells components" }, ...parts.map((part) => part.element))));

  const axis = Float64Array.from({ length: k + 1 }, (_, n) => n);

  /** @param {import("./state.js").State} state */
  function update(state) {
    if (state.drawing !== onPad) {
      onPad = state.drawing;
      const drawn = unpackDrawing(model, onPad);
      if (drawn) pad.set(drawn);
      else pad.clear();
    }
    const { pixels, isDrawn } = chosenPicture(app);
    const n = Math.min(Math.max(Math.round(state.components), 0), k);
    const z = encoder.encode(pixels);
    const through = throughComponents(encoder, z, [...counts, n].sort((a, b) => a - b));
    for (const { n: at, tile, button } of row) {
      tile.paint(/** @type {Float64Array} */ (through.get(at)));
      button.setAttribute("aria-pressed", String(at === n));
    }
    const returned = /** @type {Float64Array} */ (through.get(n));
    back.paint(returned);
    missing.paint(pixels.map((x, i) => x - returned[i]), model.high - model.low);
    count.set(n);
    write(held, t("encoder.held", { n, all: percent(explained[n], 1), drawing: percent(shareHeld(encoder, pixels, returned), 1) }));
    write(source, t(isDrawn ? "encoder.is.drawing" : "encoder.is.sample"));
    bars.draw(z, n);
    curve.draw([{ name: "%", x: axis, y: explained.map((x) => 100 * x) }], n);
    const most = largest(z.subarray(0, parts.length)) || 1;
    parts.forEach(({ tile, value }, i) => {
      tile.canvas.style.opacity = String(i < n ? 0.1 + 0.9 * Math.sqrt(Math.abs(z[i]) / most) : 0.05);
      write(value, z[i].toFixed(2));
    });
  }

  return { element, update };
}

/** Pictures of the first n numbers of a latent, for each n of a rising list.
 * @param {import("../math/image.js").Encoder} encoder @param {Float64Array} z @param {number[]} counts */
function throughComponents({ mean, toPixels, d }, z, counts) {
  const x = mean.slice();
  /** @type {Map<number, Float64Array>} */
  const found = new Map();
  let i = 0;
  for (const n of counts) {
    for (; i < n; i++) for (let j = 0; j < d; j++) x[j] += z[i] * toPixels[i * d + j];
    found.set(n, x.slice());
  }
  return found;
}

/** The share of the variance that the first n components explain, n from 0 to k. @param {Float64Array} variances @param {number} total */
function cumulated(variances, total) {
  const shares = new Float64Array(variances.length + 1);
  variances.forEach((v, i) => { shares[i + 1] = shares[i] + v / (total || 1); });
  return shares;
}

/** How much of what sets a picture apart from the mean came back: 1 is all of it.
 * @param {import("../math/image.js").Encoder} encoder @param {Float64Array} pixels @param {Float64Array} returned */
function shareHeld({ mean, std }, pixels, returned) {
  const square = (/** @type {Float64Array} */ from) => pixels.reduce((sum, x, i) => sum + ((x - from[i]) / std[i]) ** 2, 0);
  return 1 - square(returned) / (square(mean) || 1);
}
