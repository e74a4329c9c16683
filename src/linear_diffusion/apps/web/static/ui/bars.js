/**
 * Bars: signed numbers as bars from a middle line, on a canvas that follows the theme and the width of the page.
 */

import { el } from "./dom.js";
import { largest } from "./paint.js";
import { freshSheet } from "./plot.js";

/** The colours of signed pictures, for numbers above zero and below. */
const ABOVE = "#d0661a";
const BELOW = "#2f78c4";

/** A plot of bars; `draw` takes the numbers, and how many of them count: the rest are pale.
 * @param {{label: string, xName: string, yName: string, ratio?: number}} options */
export function barPlot({ label, xName, yName, ratio = 0.5 }) {
  const canvas = el("canvas", { class: "plot", role: "img", "aria-label": label });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  /** @type {[Float64Array, number]} */
  let last = [new Float64Array(1), 0];
  let shown = 0;

  /** @param {Float64Array} values @param {number} n */
  function draw(values, n) {
    last = [values, n];
    const { width, height, style, size } = freshSheet(canvas, context, shown, ratio);
    const box = { left: 3.4 * size, right: width - 0.8 * size, top: 1.8 * size, bottom: height - 2.9 * size };
    const middle = (box.top + box.bottom) / 2;
    const most = largest(values) || 1;
    const step = (box.right - box.left) / values.length;
    values.forEach((v, i) => {
      context.globalAlpha = i < n ? 1 : 0.25;
      context.fillStyle = v > 0 ? ABOVE : BELOW;
      const length = (v / most) * (middle - box.top);
      context.fillRect(box.left + i * step, Math.min(middle, middle - length), Math.max(step - 1, 0.7 * step), Math.abs(length));
    });
    context.globalAlpha = 1;
    context.font = `${size}px ${style.fontFamily}`;
    context.fillStyle = style.getPropertyValue("--quiet") || style.color;
    context.fillRect(box.left, middle, box.right - box.left, 1);
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const [text, y] of /** @type {[string, number][]} */ ([[most.toFixed(1), box.top], ["0", middle], [(-most).toFixed(1), box.bottom]])) context.fillText(text, box.left - 0.3 * size, y);
    context.textAlign = "left";
    context.fillText(yName, 0.2 * size, 0.7 * size);
    context.textAlign = "center";
    for (const i of new Set([1, ...[1, 2, 3, 4].map((q) => Math.round((q * values.length) / 4))])) context.fillText(String(i), box.left + (i - 0.5) * step, box.bottom + 0.9 * size);
    context.fillText(xName, (box.left + box.right) / 2, box.bottom + 2.1 * size);
  }

  new ResizeObserver(() => {
    shown = canvas.clientWidth;
    draw(...last);
  }).observe(canvas);
  return { canvas, draw };
}
