/**
 * The view of the station "prompt": the prompt as a code, what each cell of the code picks, and prompts mixed.
 */

import { combine } from "../math/linalg.js";
import { captioned, choice, el, heading, panel, sign, slider, write } from "./dom.js";
import { percent, rounded } from "./numbers.js";
import { heatColour, picture } from "./paint.js";

/** How many parts of a mix are shown as pictures, at most. */
const PARTS_SHOWN = 4;

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function promptView(app) {
  const { model, t } = app;
  const { prompts } = model;
  const isAlone = prompts.length === 1;
  const name = (/** @type {number} */ j) => prompts[j] || t("prompt.nameless");
  /** The mean of each prompt's images, in pixels, where it was asked for. @type {Map<number, Float64Array>} */
  const means = new Map();

  /** @param {number} j */
  function meanOf(j) {
    const found = means.get(j) ?? model.encoder.decode(model.law(j).mean);
    means.set(j, found);
    return found;
  }

  const cells = prompts.map((prompt, j) => {
    const weight = el("span", { class: "weight number" });
    const mean = picture(model, "", "fill");
    mean.canvas.setAttribute("aria-hidden", "true");
    mean.paint(meanOf(j));
    const button = el("button", { type: "button", class: "codecell", on: { click: () => app.set({ prompt, style: "" }) } },
      el("strong", {}, name(j)), weight, mean.canvas);
    return { button, weight };
  });
  const code = el("div", { class: "onehot", role: "group", "aria-label": t("prompt.code.label") }, ...cells.map((cell) => cell.button));
  code.classList.toggle("many", prompts.length > 20);
  code.classList.toggle("few", prompts.length < 6);
  code.classList.toggle("words", prompts.some((prompt) => prompt.length > 3));

  const options = /** @type {[string, string][]} */ (prompts.map((_, j) => [String(j), name(j)]));
  const first = choice({ name: t("prompt.first"), options, value: "0", change: mixed });
  const second = choice({ name: t("prompt.second"), options, value: String(isAlone ? 0 : 1), change: mixed });
  const share = slider({ name: t("prompt.share"), min: 0, max: 1, step: 0.05, value: 0, text: (x) => `${percent(1 - x)} : ${percent(x)}`, input: mixed });
  share.element.classList.add("wide");
  const sum = el("div", { class: "sum mix" });
  const mean = picture(model, t("prompt.mean"));
  const drawn = picture(model, t("prompt.drawn"));
  const parts = Array.from({ length: PARTS_SHOWN }, () => picture(model, ""));

  /** Asks for the mix that the controls say. */
  function mixed() {
    const [a, b, x] = [Number(first.control.value), Number(second.control.value), share.control.valueAsNumber];
    const prompt = a === b || x === 0 ? prompts[a] : x === 1 ? prompts[b] : `${prompts[a]}:${rounded(1 - x)} ${prompts[b]}:${rounded(x)}`;
    app.set({ prompt, style: "" });
  }

  const element = el("div", { class: "view" },
    heading(t("prompt.title"), t("prompt.here"), el("p", { class: "quiet" }, t("prompt.real"))),
    panel(t("prompt.code"), t("prompt.code.text"), code),
    panel(t("prompt.mix"), t(isAlone ? "prompt.single" : "prompt.mix.text"),
      !isAlone && el("div", { class: "controls" }, first.element, second.element, share.element), sum));

  let of = "";

  /** @param {import("./state.js").State} _state */
  function update(_state) {
    const run = app.run();
    const now = JSON.stringify(run.request);
    if (now === of) return;
    of = now;
    const weights = new Map(run.mix);
    cells.forEach(({ button, weight }, j) => {
      const w = weights.get(j) ?? 0;
      write(weight, String(rounded(w)));
      weight.style.background = heatColour(w);
      weight.style.color = w > 0.6 ? "#000" : "#fff";
      button.setAttribute("aria-pressed", String(w > 0));
    });
    showControls(run.mix);
    showSum(run);
  }

  /** Puts the controls where the mix is, unless it was they that made it. @param {import("../math/model.js").Mix} mix */
  function showControls(mix) {
    const weights = new Map(mix);
    const [a, b] = [Number(first.control.value), Number(second.control.value)];
    const asked = mix.length > 1 ? mix.slice(0, 2).map(([j]) => j) : [mix[0][0], b === mix[0][0] ? a : b];
    if (asked.every((j) => j === a || j === b)) return share.set(a === b ? share.control.valueAsNumber : weights.get(b) ?? 0);
    if (asked[0] === asked[1]) asked[1] = (asked[0] + 1) % prompts.length;
    first.set(String(asked[0]));
    second.set(String(asked[1]));
    share.set(mix.length > 1 ? weights.get(asked[1]) ?? 0 : 0);
  }

  /** The means of a mix, added up. @param {import("../math/model.js").Run} run */
  function showSum({ mix, finished }) {
    const total = combine(mix.map(([, w]) => w), mix.map(([j]) => meanOf(j)));
    mean.paint(total);
    drawn.paint(finished);
    const shown = mix.slice(0, PARTS_SHOWN).map(([j, w], i) => {
      parts[i].paint(meanOf(j));
      parts[i].canvas.setAttribute("aria-label", t("prompt.mean.of", { prompt: name(j) }));
      return term(`${i > 0 ? "+ " : ""}${rounded(w)} ×`, captioned(parts[i].canvas, name(j), t("prompt.mean.part")));
    });
    if (mix.length > PARTS_SHOWN) shown.push(sign("+ …"));
    sum.replaceChildren(...shown, term("=", captioned(mean.canvas, t("prompt.mean"), t("prompt.mean.text"))), term("→", captioned(drawn.canvas, t("prompt.drawn"), t("prompt.drawn.text"))));
  }

  return { element, update };
}

/** A picture and the sign before it, which stay together. @param {string} before @param {HTMLElement} figure */
function term(before, figure) {
  return el("span", { class: "term" }, sign(before), figure);
}
