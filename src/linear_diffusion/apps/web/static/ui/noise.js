/**
 * The view of the station "noise": a picture and noise added up at any level, and the schedules that say how much of each.
 */

import { SCHEDULES } from "../math/noise.js";
import { captioned, el, heading, panel, sign, write } from "./dom.js";
import { levelControls, noised, scheduleName } from "./noised.js";
import { short } from "./numbers.js";
import { largest, picture, signed } from "./paint.js";
import { LINE_COLOURS, linePlot } from "./plot.js";

/** How many levels a curve is drawn through, and how many are shown as pictures. */
const CURVE = 101;
const STRIP = 11;

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function noiseView(app) {
  const { model, t } = app;
  const { encoder } = model;
  const clean = picture(model, t("noise.clean"), "fill");
  const noise = signed(model, t("noise.noise"), "fill");
  const noisy = picture(model, t("noise.noisy"), "fill");
  const ofClean = el("strong", {});
  const ofNoise = el("strong", {});
  const controls = levelControls(app);

  const strip = Array.from({ length: STRIP }, (_, i) => {
    const at = i / (STRIP - 1);
    const tile = picture(model, "", "fill");
    tile.canvas.setAttribute("aria-hidden", "true");
    const button = el("button", { type: "button", class: "cell", on: { click: () => app.set({ level: at }) } }, tile.canvas, el("span", { class: "number" }, `t = ${at.toFixed(1)}`));
    return { at, tile, button };
  });
  const plot = el("div", {});
  const cards = Object.keys(SCHEDULES).map((name) => ({ name, ...scheduleCard(name, () => app.set({ schedule: name === model.schedule ? "" : name })) }));

  const element = el("div", { class: "view" },
    heading(t("noise.title"), t("noise.here"), el("p", { class: "quiet" }, t("noise.real"))),
    controls.element,
    panel(t("noise.sum"), t("noise.sum.text"),
      el("div", { class: "sum three" },
        el("figure", {}, clean.canvas, el("figcaption", {}, ofClean, "alpha_t z")), sign("+"),
        el("figure", {}, noise.canvas, el("figcaption", {}, ofNoise, "sigma_t eps")), sign("="),
        captioned(noisy.canvas, t("noise.noisy"), "z_t = alpha_t z + sigma_t eps"))),
    panel(t("noise.strip"), t("noise.strip.text"), el("div", { class: "cells strip", role: "group", "aria-label": t("noise.strip") }, ...strip.map(({ button }) => button))),
    el("div", { class: "columns" },
      panel(t("noise.curve"), t("noise.curve.text"), legend([["alpha_t", LINE_COLOURS[1]], ["sigma_t", LINE_COLOURS[0]]]), plot),
      panel(t("noise.schedules"), t("noise.schedules.text"), el("div", { class: "cells cards", role: "group", "aria-label": t("noise.schedules") }, ...cards.map(({ button }) => button)))));

  let plotted = "";
  /** @type {(mark: number) => void} */
  let mark = () => {};
  let of = "";

  /** @param {import("./state.js").State} state */
  function update(state) {
    const seen = noised(app);
    const { level, z, eps, t: time } = seen;
    const name = scheduleName(app);
    controls.update(seen);
    write(ofClean, t("noise.clean.times", { alpha: short(level.alpha) }));
    write(ofNoise, t("noise.noise.times", { sigma: short(level.sigma) }));
    const fromNoise = encoder.directions(eps);
    clean.paint(encoder.decode(z.map((x) => level.alpha * x)));
    noise.paint(fromNoise.map((x) => level.sigma * x), largest(fromNoise));
    noisy.paint(encoder.decode(seen.noisy));
    if (plotted !== name) {
      plotted = name;
      mark = curves(name);
      for (const card of cards) card.button.setAttribute("aria-pressed", String(card.name === name));
    }
    mark(time);
    for (const { at, button } of strip) button.setAttribute("aria-pressed", String(Math.abs(at - time) < 1e-9));
    const now = [JSON.stringify(app.run().request), name, state.drawing].join("\n");
    if (of === now) return;
    of = now;
    for (const { at, tile } of strip) {
      const there = SCHEDULES[name].at(at);
      tile.paint(encoder.decode(z.map((x, i) => there.alpha * x + there.sigma * eps[i])));
    }
  }

  /** Puts a schedule's curves into the plot. @param {string} name */
  function curves(name) {
    const { x, alphas, sigmas } = curve(name);
    const most = Math.max(...sigmas);
    const made = linePlot({
      label: t("noise.curve.label", { schedule: name }), xName: "t", yName: "", xRange: [0, 1], ratio: 0.55,
      ...(most > 1.01 ? { logY: true, yRange: [Math.min(...sigmas), most] } : { yRange: [0, 1] }),
    });
    plot.replaceChildren(made.canvas);
    return (/** @type {number} */ at) => made.draw([{ name: "alpha_t", x, y: alphas, colour: LINE_COLOURS[1] }, { name: "sigma_t", x, y: sigmas, colour: LINE_COLOURS[0] }], at);
  }

  return { element, update };
}

/** alpha and sigma of a schedule over time. @param {string} name */
function curve(name) {
  const x = Array.from({ length: CURVE }, (_, i) => i / (CURVE - 1));
  const levels = x.map((t) => SCHEDULES[name].at(t));
  return { x, alphas: levels.map((l) => l.alpha), sigmas: levels.map((l) => l.sigma) };
}

/** A schedule as two small curves: the shares of picture and of noise in what is seen. @param {string} name @param {() => void} click */
function scheduleCard(name, click) {
  const [width, height] = [160, 90];
  const canvas = el("canvas", { width, height, class: "spark", "aria-hidden": "true" });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const { x, alphas, sigmas } = curve(name);
  [alphas, sigmas].forEach((values, i) => {
    context.strokeStyle = LINE_COLOURS[1 - i];
    context.lineWidth = 4;
    context.beginPath();
    values.forEach((v, j) => context.lineTo(4 + x[j] * (width - 8), height - 4 - (v / Math.hypot(alphas[j], sigmas[j])) * (height - 8)));
    context.stroke();
  });
  return { button: el("button", { type: "button", class: "cell", on: { click } }, canvas, el("code", {}, name)) };
}

/** Names of lines beside their colours. @param {[string, string][]} lines */
function legend(lines) {
  return el("div", { class: "legend" }, ...lines.map(([name, colour]) => {
    const swatch = el("span", { class: "swatch" });
    swatch.style.background = colour;
    return el("span", {}, swatch, name);
  }));
}
