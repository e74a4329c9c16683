/**
 * Files: what a visitor drops onto the page or chooses, and pictures out of image files.
 */

import { button, el } from "./dom.js";
import { paperOf } from "./pad.js";

/**
 * A place to drop files or folders on, with buttons to choose them instead.
 * @param {{text: string, choices: {text: string, accept?: string, folder?: boolean}[], take: (files: File[]) => void}} options
 */
export function dropZone({ text, choices, take }) {
  const buttons = choices.map(({ text: name, accept = "", folder = false }) => {
    const input = el("input", { type: "file", multiple: true, accept, hidden: true, webkitdirectory: folder, "aria-label": name,
      on: { change: () => { take([...(input.files ?? [])]); input.value = ""; } } });
    return el("span", {}, input, button(name, () => input.click()));
  });
  const element = el("div", { class: "drop" }, el("p", { class: "quiet" }, text), el("div", { class: "controls" }, ...buttons));
  const over = (/** @type {boolean} */ is) => (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    element.classList.toggle("over", is);
  };
  element.addEventListener("dragover", over(true));
  element.addEventListener("dragleave", over(false));
  element.addEventListener("drop", async (event) => {
    over(false)(event);
    const items = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
    take(items.length ? (await Promise.all(items.map(filesOf))).flat() : [...(event.dataTransfer?.files ?? [])]);
  });
  return element;
}

/** The files of an entry, or of a folder and those within it. @param {FileSystemEntry} entry @returns {Promise<File[]>} */
async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((done, fail) => /** @type {FileSystemFileEntry} */ (entry).file(done, fail))];
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  /** @type {FileSystemEntry[]} */
  const entries = [];
  for (;;) { // a browser gives a hundred at a time
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (some.length === 0) break;
    entries.push(...some);
  }
  return (await Promise.all(entries.map(filesOf))).flat();
}

/** How near to black or white the rim of a picture must be, in parts of the range, to be a ground that it is drawn on. */
const GROUND = 0.25;

/**
 * An image file as a picture of a model: as large as it fits, in the middle, in the model's colours; inverted where it is drawn dark on
 * light and the model's pictures are light on dark, or the other way round. Throws where the browser cannot read it.
 * @param {import("../math/model.js").Model} model
 * @param {Blob} file
 * @returns {Promise<{pixels: Float64Array, isInverted: boolean}>}
 */
export async function pictureFrom(model, file) {
  const { width, height, channels, low, high } = model;
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(width / bitmap.width, height / bitmap.height);
  const [w, h] = [Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale))];
  const [left, top] = [Math.floor((width - w) / 2), Math.floor((height - h) / 2)];
  const canvas = el("canvas", { width: w, height: h });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = "white";
  context.fillRect(0, 0, w, h);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, w, h);
  bitmap.close();
  const { data } = context.getImageData(0, 0, w, h);
  /** The colour of a pixel, from 0 to 1. @param {number} x @param {number} y @param {number} c */
  const at = (x, y, c) => {
    const i = 4 * (y * w + x);
    return (channels === 1 ? 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2] : data[i + c]) / 255;
  };
  const rim = Array.from({ length: channels }, (_, c) => {
    let [sum, count] = [0, 0];
    for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) if (x === 0 || y === 0 || x === w - 1 || y === h - 1) {
      sum += at(x, y, c);
      count += 1;
    }
    return sum / count;
  });
  const paper = paperOf(model) === low ? 0 : 1;
  const isInverted = channels === 1 && Math.abs(rim[0] - (1 - paper)) < GROUND;
  const pixels = new Float64Array(model.d);
  for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++) for (let c = 0; c < channels; c++, i++) {
    const isInside = x >= left && x < left + w && y >= top && y < top + h;
    const v = isInside ? at(x - left, y - top, c) : rim[c];
    pixels[i] = low + (isInverted ? 1 - v : v) * (high - low);
  }
  return { pixels, isInverted };
}
