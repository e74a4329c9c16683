/**
 * How many steps it takes: the same noise through one step, 10, 50, 1000 steps and the exact map, side by side.
 */

import { startRun } from "../math/model.js";
import { el } from "./dom.js";
import { picture, signed } from "./paint.js";

/** @typedef {import("../math/model.js").Run} Run @typedef {import("../math/model.js").Request} Request */

const COUNTS = [10, 50, 1000];

/** @param {import("../main.js").App} app */
export function compareRow(app) {
  const { t, model } = app;
  const cells = ["one", ...COUNTS.map(String), "exact"].map((id) => {
    const name = id === "one" || id === "exact" ? t(`compare.${id}`) : t("compare.steps", { steps: id });
    const tile = picture(model, name);
    const off = signed(model, t("compare.off.label", { name }));
    const [about, time] = [el("span", { class: "quiet" }), el("span", { class: "quiet number" })];
    return { tile, off, about, time, element: el("figure", {}, tile.canvas, off.canvas, el("figcaption", {}, el("strong", {}, name), about, time)) };
  });
  const note = el("p", { class: "quiet small" });
  const row = el("div", { class: "compare" }, ...cells.map((cell) => cell.element));
  const element = el("div", { class: "panel" }, row, note);
  let key = "";
  let waiting = 0;

  /** The runs of the row; with guidance there is no exact one. @param {Request} request @returns {Request[]} */
  function requests(request) {
    const sampler = ["exact", "one-step"].includes(request.sampler ?? "") ? "ddim" : request.sampler;
    const exact = request.guidanceScale === 1 ? [{ ...request, sampler: "exact", nSteps: 1 }] : [];
    return [{ ...request, sampler: "one-step", schedule: "one-step", nSteps: 1 }, ...COUNTS.map((nSteps) => ({ ...request, sampler, nSteps })), ...exact];
  }

  /** Computes the runs, the exact one first and 1000 steps last, each in a turn of its own, so that the page answers between them. Many
   * steps take longer than a frame: they wait until nothing plays.
   * @param {Request[]} all @param {(Run | undefined)[]} [runs] */
  function compute(all, runs = []) {
    const next = [4, 0, 1, 2, 3].find((i) => all[i] && !runs[i]);
    if (next === undefined) return;
    const isLong = next === 3;
    if (!isLong || !app.player.playing) {
      runs[next] = startRun(model, all[next]);
      show(runs, runs[all.length - 1]);
    }
    waiting = window.setTimeout(() => compute(all, runs), isLong ? 100 : 0);
  }

  /** @param {(Run | undefined)[]} runs @param {Run | undefined} reference what the others are held against */
  function show(runs, reference) {
    const range = model.high - model.low || 1;
    cells.forEach(({ tile, off, about, time, element: cell }, i) => {
      const run = runs[i];
      if (!run) return;
      cell.removeAttribute("aria-busy");
      tile.paint(run.finished);
      if (!reference) return;
      const difference = run.finished.map((v, j) => v - reference.finished[j]);
      const rms = (255 / range) * Math.sqrt(difference.reduce((sum, v) => sum + v * v, 0) / difference.length);
      off.paint(difference, range / 2);
      about.textContent = run === reference ? t(i === 3 ? "compare.held" : "compare.is") : t("compare.off", { off: rms.toFixed(1) });
      time.textContent = t("compare.time", { time: timeText(run.milliseconds) });
    });
  }

  return {
    element,
    /** @param {Run} run */
    update(run) {
      const { nSteps, ...rest } = run.request;
      const wanted = JSON.stringify(rest);
      if (wanted === key) return;
      key = wanted;
      const all = requests(run.request);
      note.textContent = t(all.length === cells.length ? "compare.note" : "compare.guided");
      cells.forEach(({ element: cell }, i) => {
        cell.setAttribute("aria-busy", "true");
        cell.hidden = !all[i];
      });
      clearTimeout(waiting);
      waiting = window.setTimeout(() => requestAnimationFrame(() => {
        if (wanted === key) waiting = window.setTimeout(() => compute(all));
      }));
    },
    leave() {
      clearTimeout(waiting);
      key = "";
    },
  };
}

/** @param {number} milliseconds */
function timeText(milliseconds) {
  return milliseconds < 0.1 ? "< 0.1" : milliseconds.toFixed(milliseconds < 10 ? 1 : 0);
}
