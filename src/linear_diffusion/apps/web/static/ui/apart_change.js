/**
 * A weight changed by hand: an eigenvalue by a slider, the mean by painting on it. The finished picture follows, from the same noise.
 */

import { changed, directionOf, exactDraw, modesOf, moveOf } from "../math/apart.js";
import { picker } from "./apart_pick.js";
import { button, captioned, el, slider } from "./dom.js";
import { picture, signed } from "./paint.js";

/** Dabs that are kept at most, so that the address stays short. */
const MOST_DABS = 150;

/** @param {import("./apart_bench.js").Bench} bench @returns {import("../main.js").View} */
export function changePart(bench) {
  const { app, model } = bench;
  const { t } = app;
  const mode = slider({ name: t("apart.change.mode"), min: 1, max: model.k, step: 1, value: 1, input: (x) => app.set({ mode: x }) });
  const power = slider({
    name: t("apart.change.factor"), min: -6, max: 4, step: 0.1, value: 0, text: (x) => factorText(x), input: (x) => app.set({ factor: Number(x.toFixed(1)) }),
  });
  const vector = signed(model, t("apart.change.vector"), "fill");
  const mean = picture(model, t("apart.change.mean"), "fill");
  const before = picture(model, t("apart.change.before"), "fill");
  const after = picture(model, t("apart.change.after"), "fill");
  const brush = el("div", { class: "buttons", role: "group", "aria-label": t("apart.change.brush") });
  const brighter = button(t("apart.change.brighter"), () => setBrush(1));
  const darker = button(t("apart.change.darker"), () => setBrush(-1));
  brush.append(brighter, darker);
  const reset = button(t("apart.change.reset"), () => app.set({ factor: 0, dabs: "" }));
  const mu = el("span", {}, "μ");
  const lambda = el("span", {}, "λᵢ");
  const formula = el("p", { class: "closed-form" }, "z₀ = ", mu, " + Σ √", lambda, " uᵢ (uᵢ · eps)");
  const eigenvalue = el("p", { class: "number" });
  const moved = el("p", { class: "number" });
  let sign = 1;
  let cell = Math.floor(model.height / 2) * model.width + Math.floor(model.width / 2);
  let isPainting = false;
  const pad = picker(mean.canvas, {
    columns: model.width, rows: model.height, label: t("apart.change.pad"), at: () => cell,
    hover: (at) => { if (at >= 0) { if (isPainting && at !== cell) dab(at); cell = at; pad.update(); } },
    choose: (at) => { cell = at; pad.update(); },
  });
  pad.element.classList.add("paintable");
  pad.element.addEventListener("pointerdown", (event) => {
    isPainting = true;
    pad.element.setPointerCapture(event.pointerId);
    dab(pad.cellOf(event));
  });
  for (const end of ["pointerup", "pointercancel"]) pad.element.addEventListener(end, () => (isPainting = false));
  pad.element.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    dab(cell);
  });
  const element = el("div", { class: "stack" },
    formula,
    el("div", { class: "four" },
      el("figure", {}, pad.element, el("figcaption", {}, el("strong", {}, t("apart.change.mean")), t("apart.change.mean.text")), brush, moved),
      el("figure", {}, vector.canvas, el("figcaption", {}, el("strong", {}, t("apart.change.vector"))), mode.element, power.element, eigenvalue),
      el("figure", {}, after.canvas, el("figcaption", {}, el("strong", {}, t("apart.change.after")), t("apart.change.after.text")), reset),
      captioned(before.canvas, t("apart.change.before"))));

  /** @param {number} value */
  function setBrush(value) {
    sign = value;
    brighter.setAttribute("aria-pressed", String(sign > 0));
    darker.setAttribute("aria-pressed", String(sign < 0));
  }

  /** @param {number} at */
  function dab(at) {
    const dabs = [...dabsOf(app.state.dabs), [at, sign]].slice(-MOST_DABS);
    app.set({ dabs: dabs.map(([pixel, by]) => `${by < 0 ? "-" : ""}${pixel.toString(36)}`).join(".") });
  }

  /** What was painted, in pixels. @param {string} text */
  function paintedOf(text) {
    const { width, height, channels, high, low, d } = model;
    const pixels = new Float64Array(d);
    const radius = Math.max(width, height) / 18;
    for (const [at, by] of dabsOf(text)) {
      for (let p = 0; p < width * height; p++) {
        const distance2 = ((p % width) - (at % width)) ** 2 + (Math.floor(p / width) - Math.floor(at / width)) ** 2;
        if (distance2 > 9 * radius * radius) continue;
        for (let c = 0; c < channels; c++) pixels[p * channels + c] += by * 0.35 * (high - low) * Math.exp(-distance2 / (2 * radius * radius));
      }
    }
    return pixels;
  }

  /** @param {string} text @returns {[number, number][]} */
  function dabsOf(text) {
    return text.split(".").map((part) => /** @type {[number, number]} */ ([parseInt(part.replace("-", ""), 36), part.startsWith("-") ? -1 : 1]))
      .filter(([at]) => at >= 0 && at < model.width * model.height);
  }

  setBrush(1);
  return {
    element,
    update(state) {
      const { gaussian } = bench;
      const order = bench.kept("order", JSON.stringify(bench.mix), () => modesOf(gaussian));
      const m = Math.max(1, Math.min(order.length, Math.round(state.mode)));
      mode.control.max = String(order.length);
      mode.set(m);
      power.set(state.factor);
      const j = order[m - 1];
      const move = bench.kept("move", state.dabs, () => moveOf(model, paintedOf(state.dabs)));
      const factor = factorOf(state.factor);
      const now = changed(gaussian, j, factor, move);
      const { curve } = app.run();
      vector.paint(model.encoder.directions(directionOf(gaussian, j)));
      mean.paint(model.encoder.decode(now.mean));
      pad.update();
      after.paint(model.finish(exactDraw(now, bench.noise), curve));
      before.paint(bench.kept("before", JSON.stringify(app.run().request), () => model.finish(exactDraw(gaussian, bench.noise), curve)));
      eigenvalue.textContent = t("apart.change.eigenvalue", {
        mode: m, before: gaussian.variances[j].toPrecision(3), factor: factor.toPrecision(3), after: now.variances[j].toPrecision(3),
      });
      moved.textContent = t("apart.change.moved", { length: Math.sqrt(move.reduce((sum, x) => sum + x * x, 0)).toPrecision(3) });
      mu.classList.toggle("changed", state.dabs !== "");
      lambda.classList.toggle("changed", state.factor !== 0);
      reset.disabled = state.factor === 0 && state.dabs === "";
    },
  };
}

/** The slider's place as a factor: powers of two, and none at the left end. @param {number} power */
function factorOf(power) {
  return power <= -6 ? 0 : 2 ** power;
}

/** @param {number} power */
function factorText(power) {
  return `\u00d7 ${factorOf(power).toPrecision(3)}`;
}
