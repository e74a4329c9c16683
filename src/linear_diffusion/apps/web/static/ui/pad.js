/**
 * Pad: a picture of the model's own pixels to draw on, with a mouse, a finger, a pen or the keyboard.
 */

import { button, el, field, uniqueId } from "./dom.js";
import { paintUnit, tile } from "./paint.js";

/** Half the width of the brush in parts of the picture's shorter side, and at least in pixels; and the width of its soft edge in pixels. */
const BRUSH = 0.045;
const LEAST = 0.7;
const EDGE = 1.3;

/** How the arrow keys move the pen. @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * A pad. `change` is called after each change that the visitor makes, with the pixels in the model's numbers, or null where nothing is drawn.
 * More buttons may be added to `buttons`.
 * @param {import("../main.js").App} app
 * @param {{label: string, change: (pixels: Float64Array | null) => void}} options
 */
export function drawingPad(app, { label, change }) {
  const { model, t } = app;
  const { width, height, channels, low, high } = model;
  const paper = paperOf(model);
  const radius = Math.max(LEAST, BRUSH * Math.min(width, height));
  /** The colour of the brush, a number for each channel. */
  let ink = Array(channels).fill(low + high - paper);
  let values = new Float64Array(model.d).fill(paper);
  let isEmpty = true;
  /** What the present stroke is drawn upon, and how much of each pixel it covers. */
  let under = values;
  const covered = new Float64Array(width * height);
  let penIsDown = false;
  /** Where the keyboard's pen is. */
  let at = { x: Math.floor(width / 2), y: Math.floor(height / 2) };

  const { canvas, context, image } = tile(width, height, label);
  const hint = el("p", { class: "quiet small", id: uniqueId("pad") }, t("pad.hint"));
  const cursor = el("div", { class: "cursor", hidden: true });
  const board = el("div", { class: "board" }, canvas, cursor);
  const buttons = el("div", { class: "controls" }, button(t("pad.clear"), () => { clear(); change(null); }));
  if (channels === 3) buttons.append(colourField());
  const element = el("div", { class: "pad" }, board, buttons, hint);
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", t("pad.role"));
  canvas.setAttribute("aria-describedby", hint.id);
  canvas.tabIndex = 0;

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    let from = place(event);
    newStroke();
    stroke(from, from);
    /** @param {PointerEvent} move */
    const go = (move) => {
      const places = (move.getCoalescedEvents?.() ?? []).map(place);
      for (const to of places.length ? places : [place(move)]) {
        cover(from, to);
        from = to;
      }
      show();
    };
    const end = () => {
      canvas.removeEventListener("pointermove", go);
      canvas.removeEventListener("pointerup", end);
      canvas.removeEventListener("pointercancel", end);
    };
    canvas.addEventListener("pointermove", go);
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
  });
  canvas.addEventListener("keydown", (event) => {
    const by = ARROWS[event.key];
    if (by) {
      const from = at;
      at = { x: Math.min(Math.max(at.x + by[0], 0), width - 1), y: Math.min(Math.max(at.y + by[1], 0), height - 1) };
      if (penIsDown) stroke(centre(from), centre(at));
    } else if (event.key === " ") {
      penIsDown = !penIsDown;
      app.say(t(penIsDown ? "pad.down" : "pad.up"));
      newStroke();
      if (penIsDown) stroke(centre(at), centre(at));
    } else return;
    event.preventDefault();
    showCursor();
  });
  canvas.addEventListener("focus", () => showCursor());
  canvas.addEventListener("blur", () => {
    penIsDown = false;
    showCursor();
  });

  function colourField() {
    const hex = (/** @type {number} */ v) => Math.round((255 * (v - low)) / (high - low)).toString(16).padStart(2, "0");
    const control = el("input", {
      type: "color", value: `#${ink.map(hex).join("")}`,
      on: { input: () => { ink = [1, 3, 5].map((i) => low + (parseInt(control.value.slice(i, i + 2), 16) / 255) * (high - low)); } },
    });
    return field(t("pad.colour"), control);
  }

  /** @param {PointerEvent} event */
  function place(event) {
    const box = canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * width, y: ((event.clientY - box.top) / box.height) * height };
  }

  /** @param {{x: number, y: number}} pixel */
  function centre(pixel) {
    return { x: pixel.x + 0.5, y: pixel.y + 0.5 };
  }

  function newStroke() {
    under = values.slice();
    covered.fill(0);
  }

  /** Moves the brush along a line. @param {{x: number, y: number}} from @param {{x: number, y: number}} to */
  function stroke(from, to) {
    cover(from, to);
    show();
  }

  /** @param {{x: number, y: number}} from @param {{x: number, y: number}} to */
  function cover(from, to) {
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const length = dx * dx + dy * dy;
    for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) {
      const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y];
      const along = length > 0 ? Math.min(Math.max((px * dx + py * dy) / length, 0), 1) : 0;
      const distance = Math.hypot(px - along * dx, py - along * dy);
      const share = Math.min(Math.max((radius + EDGE / 2 - distance) / EDGE, 0), 1);
      if (share <= covered[i]) continue;
      covered[i] = share;
      for (let c = 0; c < channels; c++) {
        const j = i * channels + c;
        values[j] = under[j] + share * (ink[c] - under[j]);
      }
    }
    isEmpty = false;
  }

  /** Paints what was drawn and tells of it. */
  function show() {
    paint();
    change(pixels());
  }

  function paint() {
    paintUnit(image.data, model.unit(values), channels);
    context.putImageData(image, 0, 0);
  }

  function showCursor() {
    cursor.hidden = !canvas.matches(":focus-visible");
    cursor.classList.toggle("down", penIsDown);
    cursor.style.left = `${(100 * at.x) / width}%`;
    cursor.style.top = `${(100 * at.y) / height}%`;
    cursor.style.width = `${100 / width}%`;
    cursor.style.height = `${100 / height}%`;
  }

  /** What is drawn, or null where nothing is. */
  function pixels() {
    return isEmpty ? null : values.slice();
  }

  /** Puts a picture on the pad, to be drawn upon. @param {Float64Array} picture */
  function set(picture) {
    values = picture.slice();
    isEmpty = false;
    newStroke();
    paint();
  }

  function clear() {
    values = new Float64Array(model.d).fill(paper);
    isEmpty = true;
    newStroke();
    paint();
  }

  clear();
  return { element, buttons, pixels, set, clear };
}

/** What the ground of the model's pictures is: the tone, low or high, that the mean's border is nearer to.
 * @param {import("../math/model.js").Model} model */
export function paperOf({ encoder, width, height, channels, low, high }) {
  let sum = 0;
  let count = 0;
  for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++) for (let c = 0; c < channels; c++, i++) {
    if (x > 0 && x < width - 1 && y > 0 && y < height - 1) continue;
    sum += encoder.mean[i];
    count += 1;
  }
  return sum / count < (low + high) / 2 ? low : high;
}

/** Letters for shades, dark to bright. */
const SHADES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** A drawing as a short text, for the address: a letter for each shade, and how often it is repeated; empty where nothing is drawn.
 * @param {import("../math/model.js").Model} model @param {Float64Array | null} pixels */
export function packDrawing(model, pixels) {
  const letters = pixels ? Array.from(model.unit(pixels), (v) => SHADES[Math.round(v * (SHADES.length - 1))]).join("") : "";
  return letters.replace(/(.)\1{2,}/g, (run, letter) => letter + run.length);
}

/** The drawing that a text tells, or null where it tells none of the model's size.
 * @param {import("../math/model.js").Model} model @param {string} text @returns {Float64Array | null} */
export function unpackDrawing(model, text) {
  if (!/^([A-Za-z]\d{0,6})+$/.test(text)) return null;
  const pixels = new Float64Array(model.d);
  let at = 0;
  for (const [, letter, times] of text.matchAll(/([A-Za-z])(\d*)/g)) {
    const end = at + Number(times || 1);
    if (end > model.d) return null;
    pixels.fill(model.low + (SHADES.indexOf(letter) / (SHADES.length - 1)) * (model.high - model.low), at, end);
    at = end;
  }
  return at === model.d ? pixels : null;
}
