/**
 * One Gaussian becoming many styles: the same noise drawn from one Gaussian, and from the prompt's styles merged to two, four, ... of them.
 */

import { directionOf, exactDraw, Merging, modesOf, seenAlong } from "../math/apart.js";
import { drawStyle, startNoise } from "../math/streams.js";
import { el, slider } from "./dom.js";
import { LINE_COLOURS } from "./plot.js";
import { picture } from "./paint.js";

/** Samples that are drawn, groups whose means are shown, and points of the scatter. */
const SAMPLES = 12;
const SHOWN = 24;
const POINTS = 400;

/** @param {import("./apart_bench.js").Bench} bench @returns {import("../main.js").View} */
export function stylesPart(bench) {
  const { app, model } = bench;
  const { t } = app;
  const place = slider({ name: t("apart.styles.count"), min: 0, max: 1, step: 1, value: 0, text: (i) => String(counts()[i] ?? 1), input: (i) => app.set({ pieces: counts()[i] }) });
  place.element.classList.add("wide");
  const samples = Array.from({ length: SAMPLES }, (_, i) => picture(model, t("apart.styles.sample", { number: i + 1 }), "fill"));
  const scatter = el("canvas", { class: "plot scatter", role: "img", "aria-label": t("apart.styles.scatter") });
  const means = el("div", { class: "tiles close" });
  const says = el("p", {});
  const none = el("p", {}, t("apart.styles.none"));
  const body = el("div", { class: "stack" },
    el("div", { class: "controls" }, place.element), says,
    el("div", { class: "pair" },
      el("figure", {}, el("div", { class: "twelve" }, ...samples.map(({ canvas }) => canvas)), el("figcaption", {}, el("strong", {}, t("apart.styles.samples")), t("apart.styles.samples.text"))),
      el("figure", {}, scatter, el("figcaption", {}, el("strong", {}, t("apart.styles.scatter")), t("apart.styles.scatter.text")))),
    el("h4", {}, t("apart.styles.means")), means);
  const element = el("div", { class: "stack" }, none, body);
  let painted = "";

  /** The heaviest prompt of the mix. */
  function prompt() {
    return bench.mix[0][0];
  }

  function merging() {
    return bench.kept("merging", String(prompt()), () => new Merging(model.law(prompt())));
  }

  function counts() {
    return merging().counts;
  }

  /** Points and axes of the scatter: what the styles draw, along the first two eigenvectors. */
  function cloud() {
    return bench.kept("cloud", String(prompt()), () => {
      const law = model.law(prompt());
      const whole = merging().gaussian(merging().groups[1][0]);
      const axes = modesOf(whole).slice(0, 2).map((j) => directionOf(whole, j));
      const seen = Array.from(law.shares, (_, j) => seenAlong(law.component(j), axes));
      const points = Array.from({ length: POINTS }, (_, i) => {
        const j = drawStyle(0, prompt(), law.shares, i);
        return { style: j, at: pointOf(seen[j], startNoise(POINTS, i, 2)) };
      });
      return { axes, points };
    });
  }

  /** @param {number} pieces */
  function paint(pieces) {
    const law = model.law(prompt());
    const groups = merging().groups[pieces];
    const seed = app.run().request.seed ?? 0;
    samples.forEach((sample, i) => {
      const style = drawStyle(seed, prompt(), law.shares, i);
      const group = groups.find(({ styles }) => styles.includes(style)) ?? groups[0];
      const curve = model.curve([{ prompt: prompt(), component: style, weight: 1 }]);
      sample.paint(model.finish(exactDraw(merging().gaussian(group), startNoise(seed, i, model.k)), curve));
    });
    const order = [...groups].sort((a, b) => b.share - a.share);
    means.replaceChildren(...order.slice(0, SHOWN).map((group) => {
      const share = `${(100 * group.share).toFixed(1)} %`;
      const mean = picture(model, t("apart.styles.mean", { share }), "little");
      mean.paint(model.encoder.decode(group.mean));
      mean.canvas.style.borderBottom = `5px solid ${colourOf(groups, group)}`;
      return el("figure", {}, mean.canvas, el("figcaption", { class: "number" }, share));
    }), order.length > SHOWN ? el("p", { class: "quiet" }, t("apart.styles.more", { more: order.length - SHOWN })) : "");
    says.textContent = t(pieces === 1 ? "apart.styles.says.one" : pieces === law.size ? "apart.styles.says.all" : "apart.styles.says", { n: pieces, all: law.size, prompt: model.prompts[prompt()] });
    paintScatter(groups);
  }

  /** @param {import("../math/apart.js").Group[]} groups */
  function paintScatter(groups) {
    const { axes, points } = cloud();
    const dense = window.devicePixelRatio || 1;
    const width = scatter.clientWidth || 480;
    const height = Math.round(width * 0.75);
    scatter.width = Math.round(width * dense);
    scatter.height = Math.round(height * dense);
    const context = /** @type {CanvasRenderingContext2D} */ (scatter.getContext("2d"));
    context.setTransform(dense, 0, 0, dense, 0, 0);
    const reach = [0, 1].map((a) => [Math.min(...points.map((p) => p.at[a])), Math.max(...points.map((p) => p.at[a]))]);
    const scale = 0.8 * Math.min(width / (reach[0][1] - reach[0][0] || 1), height / (reach[1][1] - reach[1][0] || 1));
    const x = (/** @type {number} */ v) => width / 2 + scale * (v - (reach[0][0] + reach[0][1]) / 2);
    const y = (/** @type {number} */ v) => height / 2 - scale * (v - (reach[1][0] + reach[1][1]) / 2);
    const size = Math.max(2, width / 220);
    for (const { style, at } of points) {
      context.fillStyle = colourOf(groups, groups.find(({ styles }) => styles.includes(style)));
      context.globalAlpha = 0.55;
      context.fillRect(x(at[0]) - size / 2, y(at[1]) - size / 2, size, size);
    }
    context.globalAlpha = 1;
    context.lineWidth = Math.max(2, width / 250);
    for (const group of groups) {
      const { mean, covariance: [a, b, c] } = seenAlong(merging().gaussian(group), axes);
      const half = Math.hypot((a - c) / 2, b);
      const turn = Math.atan2(2 * b, a - c) / 2;
      context.strokeStyle = colourOf(groups, group);
      context.beginPath();
      context.ellipse(x(mean[0]), y(mean[1]), 2 * scale * Math.sqrt(Math.max((a + c) / 2 + half, 0)), 2 * scale * Math.sqrt(Math.max((a + c) / 2 - half, 0)), -turn, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  /** @param {import("./state.js").State} state */
  function update(state) {
    const { size } = model.law(prompt());
    none.hidden = size > 1;
    body.hidden = size === 1;
    if (size === 1) return;
    const all = counts();
    const wanted = state.pieces > 0 ? state.pieces : size;
    const at = all.findIndex((n) => n >= Math.min(wanted, size));
    place.control.max = String(all.length - 1);
    place.set(at);
    const key = JSON.stringify([prompt(), app.run().request.seed, at, scatter.clientWidth]);
    if (key === painted) return;
    painted = key;
    paint(all[at]);
  }

  new ResizeObserver(() => body.hidden || update(app.state)).observe(scatter);
  return { element, update };
}

/** A point of a Gaussian that is seen along two axes. @param {{mean: number[], covariance: number[]}} seen @param {Float64Array} noise */
function pointOf({ mean, covariance: [a, b, c] }, noise) {
  const first = Math.sqrt(a);
  const across = first > 0 ? b / first : 0;
  return [mean[0] + first * noise[0], mean[1] + across * noise[0] + Math.sqrt(Math.max(c - across * across, 0)) * noise[1]];
}

/** @param {import("../math/apart.js").Group[]} groups @param {import("../math/apart.js").Group | undefined} group */
function colourOf(groups, group) {
  return LINE_COLOURS[Math.max(0, group ? groups.indexOf(group) : 0) % LINE_COLOURS.length];
}
