/**
 * Path: the six stations of the data's way, left to right, each live; and the tabs of what else there is.
 */

import { el } from "./dom.js";
import { heatColour, largest, paintSigned, paintUnit } from "./paint.js";

/** Stations in the order of the data. */
export const STATIONS = ["prompt", "encoder", "noise", "denoiser", "sampler", "picture"];
/** What only a model that is linear can show, and what a visitor can do with it. */
export const OTHERS = ["apart", "teach", "own"];

/** @param {import("../main.js").App} app */
export function pathBar(app) {
  const { t } = app;
  /** @type {Record<string, HTMLButtonElement>} */
  const tabs = {};
  /** @type {Record<string, HTMLCanvasElement>} */
  const canvases = {};
  for (const id of STATIONS) {
    const canvas = el("canvas", { class: "tile", "aria-hidden": "true" });
    canvases[id] = canvas;
    tabs[id] = tab(id, "station", canvas, el("span", { class: "name" }, t(`${id}.station`)), el("span", { class: "is" }, t(`${id}.is`)));
  }
  for (const id of OTHERS) tabs[id] = tab(id, "", t(`${id}.station`));

  /** @param {string} id @param {string} className @param {...(Node | string)} children */
  function tab(id, className, ...children) {
    return el("button", {
      type: "button", role: "tab", class: className, id: `tab-${id}`, "aria-controls": "view",
      on: { click: () => app.set({ view: id }), keydown: (/** @type {KeyboardEvent} */ event) => move(event, id) },
    }, ...children);
  }

  /** Arrow keys go along the tabs, as readers of screens expect. @param {KeyboardEvent} event @param {string} id */
  function move(event, id) {
    const all = [...STATIONS, ...OTHERS];
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = event.key === "Home" ? all[0] : event.key === "End" ? all[all.length - 1] : by && all[(all.indexOf(id) + by + all.length) % all.length];
    if (!next) return;
    event.preventDefault();
    app.set({ view: next });
    tabs[next].focus();
  }

  const element = el("nav", { "aria-label": t("path.name") },
    el("div", { role: "tablist", "aria-label": t("path.name") },
      el("div", { class: "path", role: "presentation" }, ...STATIONS.map((id) => tabs[id])),
      el("div", { class: "more", role: "presentation" }, ...OTHERS.map((id) => tabs[id]))));

  /** @param {import("./state.js").State} state */
  function update(state) {
    for (const [id, button] of Object.entries(tabs)) {
      const chosen = state.view === id;
      button.setAttribute("aria-selected", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
    paintStations(app.model, app.run(), state.step, canvases);
  }

  return { element, update };
}

/**
 * Paint what is in each station at a step of a run.
 * @param {import("../math/model.js").Model} model
 * @param {import("../math/model.js").Run} run
 * @param {number} step
 * @param {Record<string, HTMLCanvasElement>} canvases
 */
function paintStations(model, run, step, canvases) {
  const at = Math.min(step, run.nSteps - 1);
  paintCode(canvases.prompt, model, run);
  paintComponents(canvases.encoder, model);
  const { width, height, channels } = model;
  paintInto(canvases.noise, width, height, (data) => paintUnit(data, model.unit(model.encoder.decode(run.z[Math.min(step, run.nSteps)])), channels));
  const eps = model.encoder.directions(run.eps[at]);
  const scale = largest(eps) || 1;
  paintInto(canvases.denoiser, width, height, (data) =>
    channels === 1 ? paintSigned(data, eps, scale) : paintUnit(data, eps.map((v) => 0.5 + (0.5 * v) / scale), channels));
  paintInto(canvases.sampler, width, height, (data) => paintUnit(data, model.unit(model.encoder.decode(run.z0[at])), channels));
  const picture = step >= run.nSteps ? run.finished : model.finish(run.z[step], run.curve);
  paintInto(canvases.picture, width, height, (data) => paintUnit(data, model.unit(picture), channels));
}

/** @param {HTMLCanvasElement} canvas @param {number} width @param {number} height @param {(data: Uint8ClampedArray) => void} paint */
function paintInto(canvas, width, height, paint) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(width, height);
  paint(image.data);
  context.putImageData(image, 0, 0);
}

/** A square for each prompt, as bright as its weight in the code.
 * @param {HTMLCanvasElement} canvas @param {import("../math/model.js").Model} model @param {import("../math/model.js").Run} run */
function paintCode(canvas, model, run) {
  const columns = Math.ceil(Math.sqrt(model.prompts.length));
  canvas.width = canvas.height = columns;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const weights = new Map(run.mix);
  for (let j = 0; j < model.prompts.length; j++) {
    context.fillStyle = heatColour(weights.get(j) ?? 0);
    context.fillRect(j % columns, Math.floor(j / columns), 1, 1);
  }
}

/** The first nine principal components.
 * @param {HTMLCanvasElement} canvas @param {import("../math/model.js").Model} model */
function paintComponents(canvas, model) {
  if (canvas.dataset.of === model.id) return;
  canvas.dataset.of = model.id;
  const { width, height, channels, d } = model;
  canvas.width = 3 * width;
  canvas.height = 3 * height;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  for (let i = 0; i < Math.min(9, model.k); i++) {
    const image = context.createImageData(width, height);
    const values = model.encoder.components.slice(i * d, (i + 1) * d);
    const scale = largest(values);
    if (channels === 1) paintSigned(image.data, values, scale);
    else paintUnit(image.data, values.map((v) => 0.5 + (0.5 * v) / scale), channels);
    context.putImageData(image, (i % 3) * width, Math.floor(i / 3) * height);
  }
}
