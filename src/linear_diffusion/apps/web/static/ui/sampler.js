/**
 * The view of the station "sampler": a run, step by step.
 *
 *     z_t = sigma_t eps_hat + alpha_t z0_hat        three pictures and the sum that they are
 *
 * Below it the timeline, how it is drawn (how.js), and how many steps it takes (compare.js).
 */

import { SAMPLERS } from "../math/sampler.js";
import { compareRow } from "./compare.js";
import { button, el, heading, panel, write } from "./dom.js";
import { howControls } from "./how.js";
import { picture, signed } from "./paint.js";
import { playerBar } from "./player.js";

/** @typedef {import("../math/model.js").Run} Run */

/** How many moments of a run the filmstrip shows. */
const MOMENTS = 10;
/** The noise whose colours are the strongest, in standard deviations of the pixel that varies most. */
const STRONGEST = 2.5;

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function samplerView(app) {
  const { t } = app;
  const stage = runStage(app);
  const bar = playerBar(app);
  const film = filmstrip(app);
  const how = howControls(app);
  const compare = compareRow(app);
  const screen = el("section", { class: "screen", "aria-label": t("sampler.stage") }, stage.element, bar.element, film.element);
  const element = el("div", { class: "view" },
    heading(t("sampler.title"), el("p", { class: "quiet" }, t("sampler.text"))),
    screen,
    panel(t("how.title"), t("how.text"), how.element),
    panel(t("compare.title"), t("compare.text"), compare.element));

  let wasPlaying = false;
  const played = () => {
    const { playing } = app.player;
    if (playing && !wasPlaying) screen.scrollIntoView({ block: "nearest" });
    if (!playing && wasPlaying && app.player.position() === app.player.length()) app.say(t("sampler.done"));
    wasPlaying = playing;
  };
  app.player.listeners.add(played);
  /** @param {KeyboardEvent} event */
  const keyed = (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || target.closest("button, input, select, textarea, summary, a, [role=tab], [tabindex='0']")) return;
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === " ") app.player.toggle();
    else if (by) app.player.seek(app.player.position() + by);
    else return;
    event.preventDefault();
  };
  document.addEventListener("keydown", keyed);

  return {
    element,
    update(state) {
      const run = app.run();
      const at = app.player.position();
      stage.show(run, at);
      bar.update();
      film.show(run, at);
      how.update(state, run);
      compare.update(run);
    },
    leave() {
      bar.leave();
      compare.leave();
      app.player.listeners.delete(played);
      document.removeEventListener("keydown", keyed);
    },
  };
}

/** Paints a canvas' pixels only where they differ from what it shows: `paint` is called when `what` is new.
 * @template T @param {(what: T) => void} paint */
function whenNew(paint) {
  /** @type {T | undefined} */
  let last;
  return (/** @type {T} */ what) => {
    if (what === last) return;
    last = what;
    paint(what);
  };
}

/** The noisy picture, the predicted noise and the predicted clean picture as one equation. @param {import("../main.js").App} app */
function runStage(app) {
  const { t, model } = app;
  const { encoder } = model;
  const noisy = picture(model, t("sampler.noisy.label"));
  const noise = signed(model, t(model.channels === 1 ? "sampler.noise.label" : "sampler.noise.label.colour"));
  const clean = picture(model, t("sampler.clean.label"));
  const name = el("strong", {});
  const symbol = el("code", {});
  const about = el("span", { class: "quiet" });
  const [sigma, alpha] = [el("span", { class: "number" }), el("span", { class: "number" })];
  const equals = el("span", { class: "big" }, "=");
  const next = el("code", {});
  const nextText = el("span", { class: "quiet" });
  const element = el("div", { class: "stage" },
    el("div", { class: "equation" },
      el("figure", { class: "first" }, noisy.canvas, el("figcaption", {}, name, symbol, " ", about)),
      el("div", { class: "sign" }, equals, sigma),
      el("figure", {}, noise.canvas, el("figcaption", {}, el("strong", {}, t("sampler.noise")), el("code", {}, "eps_hat"), " ", el("span", { class: "quiet" }, t("sampler.noise.text")))),
      el("div", { class: "sign" }, el("span", { class: "big" }, "+"), alpha),
      el("figure", {}, clean.canvas, el("figcaption", {}, el("strong", {}, t("sampler.clean")), el("code", {}, "z0_hat"), " ", el("span", { class: "quiet" }, t("sampler.clean.text"))))),
    el("p", { class: "next" }, nextText, " ", next));

  /** @type {Run | null} */
  let of = null;
  const scale = STRONGEST * largestDeviation(encoder);
  const paintNoisy = whenNew((/** @type {Float64Array} */ z) => noisy.paint(of?.finished === z ? z : encoder.decode(z)));
  const paintNoise = whenNew((/** @type {Float64Array} */ eps) => noise.paint(encoder.directions(eps), scale));
  const paintClean = whenNew((/** @type {Float64Array} */ z0) => clean.paint(encoder.decode(z0)));

  /** @param {Run} run @param {number} at */
  function show(run, at) {
    const n = run.nSteps;
    of = run;
    const level = run.levels[Math.min(at, n)];
    const ended = at > n;
    paintNoisy(ended ? run.finished : run.z[at]);
    paintNoise(run.eps[Math.min(at, n - 1)]);
    paintClean(at < n ? run.z0[at] : run.z[n]);
    noise.canvas.classList.toggle("faint", level.sigma === 0);
    write(name, t(ended ? "sampler.finished" : "sampler.noisy"));
    write(symbol, ended ? "x" : at === n ? "z_0" : "z_t");
    write(about, t(ended ? "sampler.finished.text" : "sampler.noisy.text"));
    write(equals, ended ? "⇐" : "=");
    write(sigma, `${shortNumber(level.sigma)} ×`);
    write(alpha, `${shortNumber(level.alpha)} ×`);
    write(nextText, t(ended ? "sampler.next.none" : at === n ? "sampler.next.curves" : "sampler.next"));
    write(next, ended ? "" : at === n ? "x = detail(tone(decode(z_0)))" : stepText(run, at));
  }
  return { element, show };
}

/** The largest standard deviation of a pixel of noise. @param {import("../math/image.js").Encoder} encoder */
function largestDeviation({ toPixels, d }) {
  const variances = new Float64Array(d);
  toPixels.forEach((x, i) => { variances[i % d] += x * x; });
  return Math.sqrt(variances.reduce((most, v) => Math.max(most, v), 0));
}

/** A number of three digits, as equations show it. @param {number} x */
function shortNumber(x) {
  return Math.abs(x) < 9.995 ? x.toFixed(2) : x.toPrecision(3);
}

/** What a run does at a step, as an equation with its numbers. @param {Run} run @param {number} at */
function stepText(run, at) {
  const { sampler = "exact", eta = 0 } = run.request;
  if (sampler === "exact") return "z_s = flow(z_t)";
  const { levels } = run;
  const by = SAMPLERS[sampler].step(levels[at], levels[at + 1], at > 0 ? levels[at - 1] : null, eta);
  /** @type {[number, string][]} */
  const terms = [[by.z, "z_t"], [by.z0, "z0_hat"], [by.previous, "z0_hat_before"], [by.predicted, "z0_hat_ahead"], [by.noise, "eps"]];
  const shown = terms.filter(([x]) => x !== 0).map(([x, name], i) => `${x < 0 ? (i ? "- " : "-") : i ? "+ " : ""}${Math.abs(x).toFixed(3)} ${name}`);
  return `z_s = ${shown.join(" ")}`;
}

/** Positions of a run that are shown in its filmstrip: evenly from the noise to z_0, then the finished picture.
 * @param {number} nSteps */
function filmMoments(nSteps) {
  const even = Array.from({ length: MOMENTS - 1 }, (_, i) => Math.round((i * nSteps) / (MOMENTS - 2)));
  return [...new Set(even), nSteps + 1];
}

/** Moments of the run, each a button that goes there. @param {import("../main.js").App} app */
function filmstrip(app) {
  const { t, model } = app;
  const element = el("ol", { class: "film", "aria-label": t("sampler.film") });
  /** @type {HTMLElement[]} */
  let frames = [];
  /** @type {number[]} */
  let moments = [];
  let current = -1;

  const fill = whenNew((/** @type {Run} */ run) => {
    moments = filmMoments(run.nSteps);
    current = -1;
    if (frames.length !== moments.length) {
      frames = moments.map((_, i) => button("", () => app.player.seek(moments[i])));
      element.replaceChildren(...frames.map((frame) => el("li", {}, frame)));
    }
    frames.forEach((frame, i) => {
      const at = moments[i];
      const tile = picture(model, "");
      tile.canvas.setAttribute("aria-hidden", "true");
      tile.paint(at > run.nSteps ? run.finished : model.encoder.decode(run.z[at]));
      frame.replaceChildren(tile.canvas, el("span", { class: "number" }, String(at)));
      frame.setAttribute("aria-label", at > run.nSteps ? t("sampler.film.end") : t("sampler.film.step", { step: at }));
    });
  });

  return {
    element,
    /** @param {Run} run @param {number} at */
    show(run, at) {
      fill(run);
      const now = moments.filter((moment) => moment <= at).length - 1;
      if (now === current) return;
      current = now;
      frames.forEach((frame, i) => {
        if (i === now) frame.setAttribute("aria-current", "step");
        else frame.removeAttribute("aria-current");
      });
    },
  };
}
