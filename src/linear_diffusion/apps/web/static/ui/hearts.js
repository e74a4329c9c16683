/**
 * Hearts: drawings for who wants to see the model learn without drawing, each a little different.
 */

import { startNoise } from "../math/streams.js";
import { paperOf } from "./pad.js";

/** Points of the outline, and half the width of its stroke in parts of the picture's shorter side. */
const OUTLINE = 48;
const STROKE = 0.05;

/** A heart, as if drawn on the pad. @param {import("../math/model.js").Model} model @param {number} number which of them */
export function heart(model, number) {
  const { width, height, channels, low, high } = model;
  const paper = paperOf(model);
  const chance = startNoise(12, number, 12);
  const side = Math.min(width, height);
  const size = (side / 54) * (1 + 0.1 * chance[0]);
  const wide = 1 + 0.08 * chance[1];
  const turn = 0.1 * chance[2];
  const outline = Array.from({ length: OUTLINE + 1 }, (_, i) => {
    const a = (2 * Math.PI * i) / OUTLINE;
    const wobble = 0.5 * (chance[3] * Math.sin(a + chance[4]) + chance[5] * Math.sin(2 * a + chance[6]) + chance[7] * Math.sin(3 * a + chance[8]));
    const x = wide * 16 * Math.sin(a) ** 3 + wobble;
    const y = -(13 * Math.cos(a) - 5 * Math.cos(2 * a) - 2 * Math.cos(3 * a) - Math.cos(4 * a)) / wide - wobble;
    return [
      width / 2 + size * (x * Math.cos(turn) - y * Math.sin(turn)) + 0.02 * side * chance[9],
      height / 2 + size * (x * Math.sin(turn) + y * Math.cos(turn)) + 0.02 * side * chance[10],
    ];
  });
  const pixels = new Float64Array(model.d);
  for (let i = 0; i < width * height; i++) {
    const [x, y] = [(i % width) + 0.5, Math.floor(i / width) + 0.5];
    const distance = Math.min(...outline.slice(1).map((to, j) => fromLine(x, y, outline[j], to)));
    const share = Math.min(Math.max((Math.max(0.7, STROKE * side) + 0.65 - distance) / 1.3, 0), 1);
    pixels.fill(paper + share * (low + high - 2 * paper), i * channels, (i + 1) * channels);
  }
  return pixels;
}

/** How far a point is from a line. @param {number} x @param {number} y @param {number[]} from @param {number[]} to */
function fromLine(x, y, [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const along = Math.min(Math.max(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1), 0), 1);
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}
