/**
 * The guided tour: a card at the foot of the page that tells the story of diffusion models, and shows the view that each step speaks of.
 */

import { button, el } from "./dom.js";

/** What each step shows; its texts are `tour.N.title` and `tour.N.text`. @type {Partial<import("./state.js").State>[]} */
const TOUR = [
  { view: "sampler", sampler: "ddim", steps: 50, guidance: 1, step: 0 },
  { view: "noise", level: 0.5 },
  { view: "denoiser", level: 0.6 },
  { view: "prompt" },
  { view: "encoder" },
  { view: "noise", level: 0.8 },
  { view: "denoiser", level: 0.9 },
  { view: "sampler", sampler: "ddim", steps: 50, step: 25 },
  { view: "picture", step: 51 },
  { view: "sampler", sampler: "one-step", step: 2 },
  { view: "apart", parts: "draws", draws: 300, sampler: "ddim", steps: 50 },
  { view: "apart", parts: "sum", step: 25 },
  { view: "teach" },
];

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function tourCard(app) {
  const { t } = app;
  const title = el("h3", { tabIndex: -1, id: "tour-title" });
  const text = el("p");
  const place = el("output", { class: "quiet" });
  const back = button(t("tour.back"), () => go(at() - 1));
  const on = button(t("tour.on"), () => (at() < TOUR.length ? go(at() + 1) : close()), { class: "main" });
  const element = el("aside", {
    class: "tour", "aria-labelledby": "tour-title", hidden: true,
    on: { keydown: (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && close() },
  },
    title, text,
    el("div", { class: "controls" }, button(t("tour.close"), close, { class: "bare" }), place, el("div", { class: "tiles close" }, back, on)));

  const at = () => Number(app.state.tour);

  /** @param {number} step */
  function go(step) {
    const last = TOUR.length;
    const to = Math.max(1, Math.min(last, step));
    app.player.pause();
    app.set({ ...TOUR[to - 1], tour: String(to) });
    title.focus({ preventScroll: true });
    window.scrollTo({ top: 0 });
    if (to === 1 && !matchMedia("(prefers-reduced-motion: reduce)").matches) app.player.play();
  }

  function close() {
    app.set({ tour: "" });
  }

  let shown = 0;
  return {
    element,
    update(state) {
      const step = Number(state.tour);
      const open = Number.isInteger(step) && step >= 1 && step <= TOUR.length;
      element.hidden = !open;
      if (!open || shown === step) {
        shown = open ? shown : 0;
        return;
      }
      shown = step;
      title.textContent = t(`tour.${step}.title`);
      text.textContent = t(`tour.${step}.text`);
      place.textContent = t("tour.at", { step, steps: TOUR.length });
      back.disabled = step === 1;
      on.textContent = t(step === TOUR.length ? "tour.end" : "tour.on");
    },
  };
}

/** The first step, as the button in the head begins it. @param {import("../main.js").App} app */
export function beginTour(app) {
  app.set({ ...TOUR[0], tour: "1" });
  document.getElementById("tour-title")?.focus({ preventScroll: true });
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) app.player.play();
}
