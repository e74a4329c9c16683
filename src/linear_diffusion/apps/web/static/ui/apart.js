/**
 * The view of the station "apart": what no neural model can show, in six parts from the weights to the styles. A part is made when it is
 * opened, and follows the state while it is open and on the screen.
 */

import { Bench } from "./apart_bench.js";
import { changePart } from "./apart_change.js";
import { drawsPart } from "./apart_draws.js";
import { modesPart } from "./apart_modes.js";
import { stylesPart } from "./apart_styles.js";
import { sumPart } from "./apart_sum.js";
import { weightsPart } from "./apart_weights.js";
import { el, heading } from "./dom.js";

/** @typedef {import("../main.js").View} View */

/** @type {Record<string, (bench: Bench) => View>} */
const APART_PARTS = { weights: weightsPart, sum: sumPart, modes: modesPart, change: changePart, draws: drawsPart, styles: stylesPart };

/** @param {import("../main.js").App} app @returns {View} */
export function apartView(app) {
  const { t } = app;
  let bench = new Bench(app);
  /** Parts that were made. @type {Map<string, View>} */
  const made = new Map();
  /** @type {Set<string>} */
  const onScreen = new Set();
  /** @type {Record<string, HTMLDetailsElement>} */
  const shells = {};
  /** The open parts that the page was led to last. @type {string | null} */
  let shown = null;

  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const id = /** @type {HTMLElement} */ (target).dataset.part ?? "";
      if (isIntersecting) onScreen.add(id);
      else onScreen.delete(id);
    }
    update(app.state);
  }, { rootMargin: "25%" });

  Object.keys(APART_PARTS).forEach((id, i) => {
    const click = (/** @type {Event} */ event) => { // the state says which are open, and not the browser
      event.preventDefault();
      toggle(id);
    };
    const shell = el("details", { class: "part", dataset: { part: id } },
      el("summary", { on: { click } }, el("span", { class: "index" }, i + 1), el("h3", {}, t(`apart.${id}.title`)), el("p", { class: "quiet" }, t(`apart.${id}.text`))));
    shells[id] = shell;
    watch.observe(shell);
  });
  const element = el("div", { class: "view apart" }, heading(t("apart.title"), t("apart.intro")), el("div", { class: "parts" }, ...Object.values(shells)));
  begin();

  function openParts() {
    return app.state.parts.split(",").filter((id) => id in APART_PARTS);
  }

  /** @param {string} id */
  function isOpen(id) {
    return openParts().includes(id);
  }

  /** @param {string} id */
  function toggle(id) {
    const parts = (isOpen(id) ? openParts().filter((other) => other !== id) : [...openParts(), id]).join();
    shown = parts; // opened by hand: the page stays where it is
    app.set({ parts });
  }

  /** For a model: whatever was made for another one is made anew. */
  function begin() {
    for (const [id, part] of made) {
      part.leave?.();
      shells[id].querySelector(".body")?.remove();
    }
    made.clear();
    bench.hovered = -1;
    bench = new Bench(app);
    bench.refresh = (all) => update(app.state, all);
  }

  /** @param {import("./state.js").State} state @param {boolean} [all] those off the screen too */
  function update(state, all = false) {
    if (app.model !== bench.model) begin();
    const open = openParts();
    for (const [id, shell] of Object.entries(shells)) {
      shell.open = open.includes(id);
      if (!shell.open) continue;
      let part = made.get(id);
      const isNew = !part;
      if (!part) {
        part = APART_PARTS[id](bench);
        made.set(id, part);
        shell.append(el("div", { class: "body" }, part.element));
      }
      if (all || isNew || onScreen.has(id)) part.update(state);
    }
    if (shown !== state.parts) {
      const last = open[open.length - 1];
      const isLed = shown !== null || (open.length === 1 && last !== "weights"); // by a link or the tour to what stands further down
      if (isLed && last) requestAnimationFrame(() => shells[last].scrollIntoView({ block: "start" }));
      shown = state.parts;
    }
  }

  return {
    element,
    update,
    leave() {
      watch.disconnect();
      for (const part of made.values()) part.leave?.();
    },
  };
}
