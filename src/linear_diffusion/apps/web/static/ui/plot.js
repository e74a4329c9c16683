/**
 * Plot: lines over an axis, on a canvas that follows the theme and the width of the page.
 */

import { el } from "./dom.js";

/** Colours that lines take, one after the other, legible on both themes. */
export const LINE_COLOURS = ["#d0661a", "#2f78c4", "#3f9a4f", "#8a5cc2", "#c2427a", "#7a7f87"];

/**
 * @typedef {object} Line
 * @property {string} name
 * @property {ArrayLike<number>} x
 * @property {ArrayLike<number>} y
 * @property {string} [colour]
 * @property {boolean} [dashed]
 *
 * @typedef {object} PlotOptions
 * @property {string} label      what it shows, for who cannot see it
 * @property {string} xName
 * @property {string} yName
 * @property {[number, number]} [xRange]
 * @property {[number, number]} [yRange]
 * @property {boolean} [logX]
 * @property {boolean} [logY]
 * @property {number} [ratio]    height over width
 */

/** An empty canvas as wide as it is on the page, in pixels of the page, with its style and the size of its letters.
 * @param {HTMLCanvasElement} canvas @param {CanvasRenderingContext2D} context
 * @param {number} shown the width that it has on the page, where it is known @param {number} ratio height over width */
export function freshSheet(canvas, context, shown, ratio) {
  const width = shown || canvas.clientWidth || 600;
  const height = Math.round(width * ratio);
  const dense = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
  }
  context.setTransform(dense, 0, 0, dense, 0, 0);
  context.clearRect(0, 0, width, height);
  return { width, height, style: getComputedStyle(canvas), size: Math.max(12, Math.min(17, width / 34)) };
}

/** A plot; `draw` takes its lines, and perhaps the place of a mark on the x axis.
 * @param {PlotOptions} options */
export function linePlot(options) {
  const canvas = el("canvas", { class: "plot", role: "img", "aria-label": options.label });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  /** @type {[Line[], number | null]} */
  let last = [[], null];
  /** The width that it has on the page; to ask at each frame would cost a layout. */
  let shown = 0;

  /** @param {Line[]} lines @param {number | null} [mark] */
  function draw(lines, mark = null) {
    last = [lines, mark];
    const { width, height, style, size } = freshSheet(canvas, context, shown, options.ratio ?? 0.5);
    context.font = `${size}px ${style.fontFamily}`;
    const box = { left: 3.4 * size, right: width - 1.2 * size, top: 1.8 * size, bottom: height - 2.9 * size };
    const log = (/** @type {number} */ v) => Math.log10(Math.max(v, 1e-300));
    const scaleX = (/** @type {number} */ v) => (options.logX ? log(v) : v);
    const scaleY = (/** @type {number} */ v) => (options.logY ? log(v) : v);
    const [from, to] = options.xRange ?? extent(lines.map((l) => l.x));
    const [x0, x1] = [scaleX(from), scaleX(to)];
    const [low, high] = options.yRange ?? extent(lines.map((l) => l.y));
    const [y0, y1] = [scaleY(low), scaleY(high)];
    const px = (/** @type {number} */ x) => box.left + ((scaleX(x) - x0) / (x1 - x0 || 1)) * (box.right - box.left);
    const py = (/** @type {number} */ y) => box.bottom - ((scaleY(y) - y0) / (y1 - y0 || 1)) * (box.bottom - box.top);
    drawAxes();
    lines.forEach((line, i) => {
      context.strokeStyle = line.colour ?? LINE_COLOURS[i % LINE_COLOURS.length];
      context.lineWidth = Math.max(2, width / 240);
      context.setLineDash(line.dashed ? [6, 5] : []);
      context.beginPath();
      for (let j = 0; j < line.x.length; j++) context.lineTo(px(line.x[j]), Math.max(box.top, Math.min(box.bottom, py(line.y[j]))));
      context.stroke();
    });
    context.setLineDash([]);
    if (mark !== null) {
      context.strokeStyle = style.color;
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(px(mark), box.top);
      context.lineTo(px(mark), box.bottom);
      context.stroke();
    }

    function drawAxes() {
      context.fillStyle = context.strokeStyle = style.getPropertyValue("--quiet") || style.color;
      context.lineWidth = 1;
      context.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
      context.textAlign = "center";
      context.textBaseline = "top";
      for (const x of options.logX ? decades(from, to) : ticks(x0, x1)) context.fillText(tickText(x), px(x), box.bottom + 0.3 * size);
      context.fillText(options.xName, (box.left + box.right) / 2, box.bottom + 1.5 * size);
      context.textAlign = "right";
      context.textBaseline = "middle";
      const marks = options.logY ? decades(low, high) : ticks(y0, y1);
      for (const y of marks) context.fillText(tickText(y), box.left - 0.4 * size, py(y));
      context.textAlign = "left";
      context.textBaseline = "bottom";
      context.fillText(options.yName, 0.2 * size, box.top - 0.4 * size);
    }
  }

  new ResizeObserver(() => {
    shown = canvas.clientWidth;
    draw(...last);
  }).observe(canvas);
  return { canvas, draw };
}

/** @param {ArrayLike<number>[]} lists @returns {[number, number]} */
function extent(lists) {
  let low = Infinity;
  let high = -Infinity;
  for (const list of lists) for (let i = 0; i < list.length; i++) {
    low = Math.min(low, list[i]);
    high = Math.max(high, list[i]);
  }
  return low < high ? [low, high] : [Number.isFinite(low) ? low - 0.5 : 0, Number.isFinite(low) ? low + 0.5 : 1];
}

/** Round numbers between two. @param {number} low @param {number} high */
function ticks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  const unit = power * (rough / power > 5 ? 10 : rough / power > 2 ? 5 : rough / power > 1 ? 2 : 1);
  const found = [];
  for (let x = Math.ceil(low / unit) * unit; x <= high + 1e-9 * unit; x += unit) found.push(Math.abs(x) < 1e-9 * unit ? 0 : x);
  return found;
}

/** Powers of ten between two, six at most. @param {number} low @param {number} high */
function decades(low, high) {
  const first = Math.ceil(Math.log10(Math.max(low, 1e-300)) - 1e-9);
  const last = Math.floor(Math.log10(Math.max(high, 1e-300)) + 1e-9);
  const every = Math.max(1, Math.ceil((last - first) / 5));
  const found = [];
  for (let p = first; p <= last; p += every) found.push(10 ** p);
  return found;
}

/** @param {number} x */
function tickText(x) {
  return x !== 0 && (Math.abs(x) < 1e-3 || Math.abs(x) >= 1e5) ? x.toExponential(0) : String(Number(x.toPrecision(4)));
}
