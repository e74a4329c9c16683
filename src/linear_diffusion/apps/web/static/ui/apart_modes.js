/**
 * The timeline of eigenmodes: how much of each is kept at each step of a run, and which picture each is.
 */

import { appearsAt, directionOf, exactAt, modesOf, shareKept } from "../math/apart.js";
import { picker } from "./apart_pick.js";
import { captioned, el } from "./dom.js";
import { paintHeat, picture, signed, tile } from "./paint.js";
import { playerBar } from "./player.js";

/** Columns of the map at most; of a longer run some steps are left out. */
const COLUMNS = 200;

/** @param {import("./apart_bench.js").Bench} bench @returns {import("../main.js").View} */
export function modesPart(bench) {
  const { app, model } = bench;
  const { t } = app;
  const player = playerBar(app);
  const place = el("div", { class: "stack" });
  const list = el("ol", { class: "modes" });
  const clean = picture(model, t("apart.modes.clean"), "fill");
  const noisy = picture(model, t("apart.modes.noisy"), "fill");
  const chosen = signed(model, t("apart.modes.chosen"), "fill");
  const text = el("figcaption", {});
  const element = el("div", { class: "stack" },
    player.element,
    el("div", { class: "pair" }, place, list),
    el("div", { class: "four" }, captioned(noisy.canvas, t("apart.modes.noisy")), captioned(clean.canvas, t("apart.modes.clean")),
      el("figure", {}, chosen.canvas, text)));
  /** @type {number[]} */
  let order = [];
  /** @type {{mode: number, row: HTMLElement, bar: HTMLElement, share: HTMLElement}[]} */
  let rows = [];
  /** @type {ReturnType<typeof picker> | null} */
  let pick = null;
  let made = "";
  let hovered = -1;

  function columns() {
    return Math.min(COLUMNS, app.run().nSteps);
  }

  /** The step of a column, and the column of a step. @param {number} column */
  function stepOf(column) {
    const last = app.run().nSteps - 1;
    return columns() > 1 ? Math.round((column * last) / (columns() - 1)) : 0;
  }

  function columnNow() {
    const last = app.run().nSteps - 1;
    return last > 0 ? Math.round((Math.min(app.state.step, last) * (columns() - 1)) / last) : 0;
  }

  function modeNow() {
    return Math.max(0, Math.min(order.length - 1, hovered >= 0 ? hovered : Math.round(app.state.mode) - 1));
  }

  /** The map and the list, for a prompt and a run's levels. */
  function make() {
    const { gaussian } = bench;
    const run = app.run();
    order = modesOf(gaussian);
    const n = columns();
    const map = tile(n, order.length, t("apart.modes.map"), "map");
    const kept = new Float64Array(n * order.length);
    order.forEach((j, m) => {
      for (let c = 0; c < n; c++) kept[m * n + c] = shareKept(gaussian.variances[j], run.levels[stepOf(c)]);
    });
    paintHeat(map.image.data, kept, 1);
    map.context.putImageData(map.image, 0, 0);
    pick = picker(map.canvas, {
      columns: n, rows: order.length, label: t("apart.modes.label"), line: true, at: () => modeNow() * n + columnNow(),
      hover: (cell) => { hovered = cell < 0 ? -1 : Math.floor(cell / n); update(); },
      choose: (cell) => {
        hovered = -1;
        app.player.pause();
        app.set({ mode: Math.floor(cell / n) + 1, step: stepOf(cell % n) });
        app.say(text.textContent ?? "");
      },
    });
    place.replaceChildren(
      el("p", { class: "axis" }, el("span", {}, t("apart.modes.noise")), el("span", {}, t("apart.modes.picture"))),
      pick.element,
      el("p", { class: "axis" }, el("span", {}, t("apart.modes.axis", { modes: order.length })), el("span", { class: "ramp" }, el("span", {}, "0"), ramp(), el("span", {}, "1"))));
    rows = listed(order.length).map((m) => {
      const picked = signed(model, t("apart.modes.one", { mode: m + 1 }), "little");
      picked.paint(model.encoder.directions(directionOf(gaussian, order[m])));
      const bar = el("span", { class: "bar" });
      const share = el("output", {});
      const at = appearsAt(gaussian.variances[order[m]], run.levels);
      const row = el("li", {}, picked.canvas, el("span", {}, el("strong", {}, t("apart.modes.one", { mode: m + 1 })),
        el("span", { class: "small quiet" }, t("apart.modes.appears", { step: at, variance: gaussian.variances[order[m]].toPrecision(2) }))),
        el("span", { class: "gauge" }, bar), share);
      return { mode: m, row, bar, share };
    });
    list.replaceChildren(...rows.map(({ row }) => row));
  }

  function update() {
    const run = app.run();
    const key = JSON.stringify([bench.mix, run.request.schedule, run.nSteps]);
    if (key !== made) {
      make();
      made = key;
    }
    const { gaussian } = bench;
    const level = run.levels[Math.min(app.state.step, run.nSteps)];
    const z = exactAt(gaussian, level, bench.noise);
    player.update();
    pick?.update();
    noisy.paint(model.encoder.decode(z));
    clean.paint(model.encoder.decode(level.sigma > 0 ? gaussian.z0(level, z) : z));
    for (const { mode, row, bar, share } of rows) {
      const kept = shareKept(gaussian.variances[order[mode]], level);
      bar.style.width = `${100 * kept}%`;
      share.textContent = `${Math.round(100 * kept)} %`;
      row.classList.toggle("seen", kept >= 0.5);
    }
    const m = modeNow();
    const variance = gaussian.variances[order[m]];
    chosen.paint(model.encoder.directions(directionOf(gaussian, order[m])));
    text.replaceChildren(el("strong", {}, t("apart.modes.one", { mode: m + 1 })), t("apart.modes.text.chosen", {
      variance: variance.toPrecision(3), step: appearsAt(variance, run.levels), share: (100 * shareKept(variance, level)).toFixed(1),
    }));
  }

  return { element, update, leave: () => player.leave() };
}

/** Modes that are listed: the first, second, fourth, ... @param {number} n */
function listed(n) {
  const found = [];
  for (let m = 1; m <= n; m *= 2) found.push(m - 1);
  return found;
}

/** What the colours of the map mean. */
function ramp() {
  const { canvas, context, image } = tile(64, 1, "", "colour-scale");
  canvas.setAttribute("aria-hidden", "true");
  paintHeat(image.data, Float64Array.from({ length: 64 }, (_, i) => i), 63);
  context.putImageData(image, 0, 0);
  return canvas;
}
