/**
 * How a picture is drawn: sampler, schedule, steps, eta, guidance, negative prompt and style. What means nothing beside the rest is disabled,
 * and the page says why.
 */

import { SCHEDULES } from "../math/noise.js";
import { SAMPLER_NAMES } from "../math/sampler.js";
import { choice, el, field, slider } from "./dom.js";

/** Numbers of steps that the slider stops at. */
const STOPS = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500, 750, 1000];
/** What guidance is set to when a negative prompt is typed, which means nothing without. */
const GUIDED = 2;

/** @param {import("../main.js").App} app */
export function howControls(app) {
  const { t, model } = app;
  const { state } = app;
  const sampler = choice({
    name: t("how.sampler"), options: SAMPLER_NAMES.map((name) => [name, name]), value: state.sampler, change: (name) => app.set({ sampler: name }),
  });
  const schedule = choice({
    name: t("how.schedule"), options: Object.keys(SCHEDULES).map((name) => [name, name]), value: state.schedule || model.schedule,
    change: (name) => app.set({ schedule: name === model.schedule ? "" : name }),
  });
  const steps = slider({
    name: t("how.steps"), min: 0, max: STOPS.length - 1, step: 1, value: nearestStop(state.steps),
    text: (at) => String(at === nearestStop(app.state.steps) && app.state.sampler !== "one-step" ? app.state.steps : STOPS[at]), input: (at) => resize(STOPS[at]),
  });
  const eta = slider({ name: t("how.eta"), min: 0, max: 1, step: 0.05, value: state.eta, text: (x) => x.toFixed(2), input: (x) => app.set({ eta: x }) });
  const guidance = slider({
    name: t("how.guidance"), min: 0, max: 8, step: 0.25, value: state.guidance, text: (x) => (x === 1 ? t("how.guidance.off") : x.toFixed(2)),
    input: (x) => app.set({ guidance: x }),
  });
  const negative = el("input", {
    type: "text", autocomplete: "off", spellcheck: false, placeholder: t("how.negative.none"),
    on: { input: () => {
      const text = negative.value.trim();
      app.set({ negative: text, guidance: text && app.state.guidance === 1 ? GUIDED : app.state.guidance });
    } },
  });
  negative.setAttribute("list", "prompts");
  const style = choice({ name: t("how.style"), options: [], value: "", change: (value) => app.set({ style: value }) });
  const notes = el("ul", { class: "notes quiet small", "aria-live": "polite" });
  const element = el("div", { class: "how" },
    el("div", { class: "controls" }, sampler.element, schedule.element, style.element, field(t("how.negative"), negative), steps.element, eta.element, guidance.element),
    notes);

  /** Another number of steps, at the same moment of the run. @param {number} count */
  function resize(count) {
    const before = app.run().nSteps;
    const { step } = app.state;
    app.set({ steps: count, step: step > before ? count + 1 : Math.round((step / before) * count) });
  }

  let styled = -1;
  /** @param {import("../math/model.js").Run} run */
  function listStyles(run) {
    const [[first]] = run.mix;
    if (first === styled) return;
    styled = first;
    const { shares } = model.law(first);
    style.control.replaceChildren(el("option", { value: "" }, t("how.style.drawn")),
      ...Array.from(shares, (share, j) => el("option", { value: String(j) }, t("how.style.one", { style: j, percent: (100 * share).toFixed(share < 0.1 ? 1 : 0) }))));
  }

  let written = "";
  /** @param {import("./state.js").State} now @param {import("../math/model.js").Run} run */
  function update(now, run) {
    const key = JSON.stringify([now.sampler, now.schedule, now.steps, now.eta, now.guidance, now.negative, now.style, run.component, run.mix]);
    if (key === written) return;
    written = key;
    const [isExact, isOne, isGuided] = [now.sampler === "exact", now.sampler === "one-step", now.guidance !== 1];
    sampler.set(now.sampler);
    for (const option of sampler.control.options) option.disabled = option.value === "exact" && isGuided && !isExact;
    schedule.set(now.schedule || model.schedule);
    steps.set(isOne ? 0 : nearestStop(now.steps));
    steps.control.disabled = isOne;
    eta.set(now.sampler === "ddim" ? now.eta : 0);
    eta.control.disabled = now.sampler !== "ddim";
    guidance.set(now.guidance);
    guidance.control.disabled = isExact && !isGuided;
    if (document.activeElement !== negative) negative.value = now.negative;
    negative.disabled = isExact && !isGuided;
    listStyles(run);
    style.set(now.style);
    style.control.disabled = model.law(run.mix[0][0]).size === 1;
    const said = [
      now.sampler in NOTES && t(NOTES[now.sampler]),
      isExact && t("how.note.exact"),
      isGuided && t("how.note.guided"),
      !isGuided && now.negative && t("how.note.negative"),
      now.style === "" && !style.control.disabled && t("how.note.style", { style: run.component }),
    ];
    notes.replaceChildren(...said.filter((text) => text).map((text) => el("li", {}, /** @type {string} */ (text))));
  }
  return { element, update };
}

/** What each sampler does, in a sentence. @type {Record<string, string>} */
const NOTES = {
  exact: "how.is.exact", "one-step": "how.is.one", ddpm: "how.is.ddpm", ddim: "how.is.ddim", euler: "how.is.euler", heun: "how.is.heun", dpmpp_2m: "how.is.dpmpp",
};

/** @param {number} count */
function nearestStop(count) {
  let best = 0;
  STOPS.forEach((stop, i) => {
    if (Math.abs(stop - count) < Math.abs(STOPS[best] - count)) best = i;
  });
  return best;
}
