/**
 * Sampled training converging to the closed form: draws are added, and the regression comes nearer as one over the root of their number.
 */

import { directionOf, DrawnTraining, modesOf } from "../math/apart.js";
import { dot } from "../math/linalg.js";
import { button, captioned, el } from "./dom.js";
import { picture } from "./paint.js";
import { LINE_COLOURS, linePlot } from "./plot.js";

/** Modes of the prompt that are trained. */
const MODES = 24;
/** Draws at most, and at most in one frame. */
const MOST_DRAWS = 100000;
const DRAWS_A_FRAME = 1000;
/** Lines of the plot. */
const NAMES = ["apart.draws.measured", "apart.draws.predicted"];

/** @param {import("./apart_bench.js").Bench} bench @returns {import("../main.js").View} */
export function drawsPart(bench) {
  const { app, model } = bench;
  const { t } = app;
  const level = bench.levelSlider();
  const plot = linePlot({
    label: t("apart.draws.plot"), xName: t("apart.draws.x"), yName: t("apart.draws.y"), xRange: [1, 2 * MOST_DRAWS], yRange: [0.003, 30], logX: true, logY: true, ratio: 0.55,
  });
  const noisy = picture(model, t("apart.noisy"), "fill");
  const drawn = picture(model, t("apart.draws.drawn"), "fill");
  const clean = picture(model, t("apart.draws.clean"), "fill");
  const exact = picture(model, t("apart.draws.exact"), "fill");
  const says = el("p", {});
  const buttons = [
    button("+1", () => aim(training().n + 1), { "aria-label": t("apart.draws.one") }),
    button("×10", () => aim(Math.max(10, 10 * training().n)), { "aria-label": t("apart.draws.ten") }),
    button(t("apart.draws.run"), () => aim(MOST_DRAWS), { class: "main" }),
    button(t("apart.draws.reset"), () => { bench.made.delete("training"); app.set({ draws: 0 }); }),
  ];
  const element = el("div", { class: "stack" },
    el("div", { class: "controls" }, el("div", { class: "buttons" }, ...buttons), level.element),
    el("div", { class: "pair" },
      el("div", { class: "stack" }, plot.canvas, el("p", { class: "legend" }, ...NAMES.map((name, i) => el("span", {}, swatch(LINE_COLOURS[i], i > 0), t(name)))), says),
      el("div", { class: "two" },
        captioned(drawn.canvas, t("apart.draws.drawn")), captioned(exact.canvas, t("apart.draws.exact")),
        captioned(noisy.canvas, t("apart.noisy")), captioned(clean.canvas, t("apart.draws.clean")))));
  let frame = 0;

  /** The training of this prompt from this seed. @returns {{axes: Float64Array[], own: DrawnTraining}} */
  function made() {
    const key = JSON.stringify([bench.mix, app.run().request.seed]);
    return bench.kept("training", key, () => {
      const { gaussian } = bench;
      const modes = modesOf(gaussian).filter((j) => gaussian.variances[j] > 0).slice(0, MODES);
      const axes = modes.map((j) => directionOf(gaussian, j));
      const means = Float64Array.from(axes, (axis) => dot(axis, gaussian.mean));
      return { axes, own: new DrawnTraining(means, Float64Array.from(modes, (j) => gaussian.variances[j]), app.run().request.seed ?? 0) };
    });
  }

  function training() {
    return made().own;
  }

  /** @param {number} draws */
  function aim(draws) {
    app.set({ draws: Math.min(MOST_DRAWS, draws) });
  }

  /** Draws of one frame: a twentieth more, or as many as a frame has time for. */
  function drawSome() {
    frame = 0;
    const { n } = training();
    const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const more = isStill ? DRAWS_A_FRAME : Math.min(DRAWS_A_FRAME, Math.max(1, Math.round(n / 20)));
    training().drawUntil(Math.min(app.state.draws, n + more));
    bench.refresh();
    if (training().n >= app.state.draws) app.say(says.textContent ?? "");
  }

  return {
    element,
    update(state) {
      const target = Math.max(0, Math.min(MOST_DRAWS, Math.round(state.draws)));
      if (training().n > target) bench.made.delete("training");
      const { axes, own } = made();
      if (own.n < target && !frame) frame = requestAnimationFrame(drawSome);
      level.set(bench.time);
      show(axes, own);
    },
    leave() {
      cancelAnimationFrame(frame);
    },
  };

  /** @param {Float64Array[]} axes @param {DrawnTraining} own */
  function show(axes, own) {
    const { level: at, gaussian } = bench;
    const key = JSON.stringify([bench.mix, at, own.m]);
    const errors = bench.kept("errors", `${key} ${app.run().request.seed}`, () => /** @type {{n: number, error: number}[]} */ ([]));
    if (errors.length > own.kept.length) errors.length = 0;
    for (const draws of own.kept.slice(errors.length)) errors.push({ n: draws.n, error: own.error(own.regression(draws, at), at) });
    const expected = bench.kept("expected", key, () => {
      const x = Float64Array.from({ length: 60 }, (_, i) => (own.m + 4) * (MOST_DRAWS / (own.m + 4)) ** (i / 59));
      return { x, y: x.map((n) => own.expectedError(n, at)) };
    });
    plot.draw([
      { name: t(NAMES[0]), x: errors.map((e) => e.n), y: errors.map((e) => e.error) },
      { name: t(NAMES[1]), ...expected, dashed: true },
    ], own.n || null);

    // the clean picture and its noise in the modes that are trained, and the mean in all others
    const z = Float64Array.from(axes, (axis, i) => own.means[i] + Math.sqrt(own.variances[i]) * dot(axis, bench.noise));
    const y = z.map((x, i) => at.alpha * x + at.sigma * bench.other[i]);
    const picturesOf = (/** @type {Float64Array} */ coordinates, /** @type {number} */ alpha) => {
      const latent = gaussian.mean.map((x) => alpha * x);
      axes.forEach((axis, i) => {
        const off = coordinates[i] - alpha * own.means[i];
        for (let l = 0; l < latent.length; l++) latent[l] += off * axis[l];
      });
      return model.encoder.decode(latent);
    };
    const cleaned = (/** @type {import("../math/apart.js").Affine} */ map) =>
      Float64Array.from(y, (x, i) => (at.alpha ? (x - at.sigma * (dot(map.matrix.subarray(i * own.m, (i + 1) * own.m), y) + map.shift[i])) / at.alpha : own.means[i]));
    noisy.paint(picturesOf(y, at.alpha));
    clean.paint(picturesOf(z, 1));
    exact.paint(picturesOf(cleaned(own.closedForm(at)), 1));
    const last = own.n ? own.regression(own.moments(), at) : { matrix: new Float64Array(own.m * own.m), shift: new Float64Array(own.m) };
    drawn.paint(picturesOf(cleaned(last), 1));
    says.textContent = own.n > own.m + 2
      ? t("apart.draws.says", { n: own.n.toLocaleString(app.language), error: own.error(last, at).toPrecision(3), expected: own.expectedError(own.n, at).toPrecision(3) })
      : t("apart.draws.few", { n: own.n, m: own.m });
  }
}

/** A line of the plot, in its legend. @param {string} colour @param {boolean} isDashed */
function swatch(colour, isDashed) {
  const line = el("span", { class: isDashed ? "linemark dashed" : "linemark" });
  line.style.borderTopColor = colour;
  return line;
}
