/**
 * The view of the station "picture": the decoder's last steps, files to take along, and more pictures of the same prompt.
 */

import { startRun } from "../math/model.js";
import { button, captioned, el, field, heading, panel } from "./dom.js";
import { picture } from "./paint.js";
import { linePlot } from "./plot.js";
import { fileName, gifOf, pngOf, pythonOf, saveFile } from "./save.js";

/** @typedef {import("../math/model.js").Run} Run */

/** How many more pictures are shown. */
const MORE = 16;

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function pictureView(app) {
  const { t } = app;
  const steps = decoderSteps(app);
  const take = takeAlong(app);
  const sheet = morePictures(app);
  const curve = curvePlot(app);
  const element = el("div", { class: "view" },
    heading(t("picture.title"), el("p", { class: "quiet" }, t("picture.text"))), steps.element, take.element, sheet.element, curve.element);
  /** @type {Run | null} */
  let of = null;
  return {
    element,
    update() {
      const run = app.run();
      take.link();
      if (of === run) return;
      of = run;
      for (const part of [steps, take, sheet, curve]) part.show(run);
    },
    leave() {
      sheet.leave();
    },
  };
}

/** The latent decoded, then through each curve that the model has. @param {import("../main.js").App} app */
function decoderSteps(app) {
  const { t, model } = app;
  const names = /** @type {const} */ (["plain", "toned", "finished"]);
  const parts = names.map((name) => {
    const tile = picture(model, t(`picture.${name}`));
    return { name, tile, figure: captioned(tile.canvas, t(`picture.${name}`), t(`picture.${name}.text`)), sign: el("div", { class: "sign" }, el("span", { class: "big" }, "→")) };
  });
  const element = el("div", { class: "equation" }, ...parts.flatMap(({ figure, sign }, i) => (i ? [sign, figure] : [figure])));
  return {
    element,
    /** @param {Run} run */
    show({ z, nSteps, curve }) {
      const found = model.finishSteps(z[nSteps], curve);
      const has = { plain: true, toned: curve.tone !== null, finished: curve.detail !== null };
      for (const { name, tile, figure, sign } of parts) {
        figure.hidden = sign.hidden = !has[name];
        tile.paint(found[name]);
      }
    },
  };
}

/** Files, the link, and Python. @param {import("../main.js").App} app */
function takeAlong(app) {
  const { t, model } = app;
  const address = el("input", { type: "text", readOnly: true });
  const code = el("code", {});
  const pre = el("pre", { tabIndex: 0, "aria-label": t("picture.python") }, code);
  const save = async (/** @type {string} */ ending, /** @type {(run: Run) => Blob | Promise<Blob>} */ make) => {
    const run = app.run();
    saveFile(fileName(run, ending), await make(run));
    app.say(t("picture.saved", { name: fileName(run, ending) }));
  };
  /** @param {string} text @param {Element} source */
  async function copy(text, source) {
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = t("picture.copied");
    } catch {
      getSelection()?.selectAllChildren(source);
      if (source instanceof HTMLInputElement) source.select();
      said.textContent = t("picture.copy.yourself");
    }
  }
  const said = el("p", { class: "quiet small", role: "status" });
  const element = panel(t("picture.take"), "",
    el("div", { class: "controls" },
      button(t("picture.png"), () => save("png", (run) => pngOf(model, run.finished)), { class: "main" }),
      button(t("picture.gif"), () => save("gif", (run) => gifOf(model, run))),
      field(t("picture.link"), address, null, "wide"),
      button(t("picture.link.copy"), () => copy(app.address, address))),
    el("div", { class: "code" }, el("p", { class: "quiet" }, t("picture.python.text")), button(t("picture.python.copy"), () => copy(code.textContent ?? "", code))),
    pre, said);
  return {
    element,
    /** @param {Run} run */
    show(run) {
      code.textContent = pythonOf(model, run);
      said.textContent = "";
    },
    link() {
      if (address.value !== app.address) address.value = app.address;
    },
  };
}

/** Pictures of the seeds that follow, each a button that shows it. @param {import("../main.js").App} app */
function morePictures(app) {
  const { t, model } = app;
  let first = 0;
  const tiles = Array.from({ length: MORE }, (_, i) => {
    const tile = picture(model, "");
    tile.canvas.setAttribute("aria-hidden", "true");
    return { tile, button: el("button", { type: "button", on: { click: () => app.set({ seed: first + i }) } }, tile.canvas) };
  });
  let waiting = 0;
  /** @param {Run} run @param {number} i */
  function paintNext(run, i) {
    tiles[i].tile.paint(startRun(model, { ...run.request, seed: first + i }).finished);
    tiles[i].button.removeAttribute("aria-busy");
    if (i + 1 < MORE) waiting = window.setTimeout(() => paintNext(run, i + 1));
  }
  return {
    element: panel(t("picture.more"), t("picture.more.text"), el("div", { class: "sheet" }, ...tiles.map(({ button }) => button))),
    /** @param {Run} run */
    show(run) {
      first = (run.request.seed ?? 0) + 1;
      tiles.forEach(({ button }, i) => {
        button.setAttribute("aria-label", t("picture.more.one", { seed: first + i }));
        button.setAttribute("aria-busy", "true");
      });
      clearTimeout(waiting);
      waiting = window.setTimeout(() => paintNext(run, 0));
    },
    leave() {
      clearTimeout(waiting);
    },
  };
}

/** The tone curve, before and after. @param {import("../main.js").App} app */
function curvePlot(app) {
  const { t, model } = app;
  const { low, high, channels } = model;
  const plot = linePlot({ label: t("picture.curve.label"), xName: t("picture.curve.x"), yName: t("picture.curve.y"), yRange: [low, high] });
  const element = panel(t("picture.curve"), t("picture.curve.text"), el("div", { class: "curve" }, plot.canvas));
  const colours = channels === 1 ? ["#d0661a"] : ["#c2322a", "#3f9a4f", "#2f78c4"];
  return {
    element,
    /** @param {Run} run */
    show({ curve: { tone } }) {
      element.hidden = !tone;
      if (!tone) return;
      const wide = high - low;
      const x = Float64Array.from({ length: 400 }, (_, i) => low - 0.25 * wide + (1.5 * wide * i) / 399);
      const none = { name: "", x, y: x.map((v) => Math.min(Math.max(v, low), high)), colour: "#8a8f98", dashed: true };
      plot.draw([none, ...colours.map((colour, c) => ({ name: "", x, y: x.map((v) => tone.at(v, c)), colour }))]);
    },
  };
}
