/**
 * Paint: numbers -> pixels of a canvas. Pictures are grey or RGB, signed numbers blue - white - orange, sizes dark - bright.
 */

import { el } from "./dom.js";

/** Anchors of the maps, even in lightness: a diverging one (blue, white, orange) and a sequential one (viridis). */
const SIGNED = [[5, 48, 97], [33, 102, 172], [103, 169, 207], [209, 229, 240], [250, 249, 246], [253, 219, 190], [239, 138, 72], [190, 83, 8], [110, 40, 0]];
const HEAT = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37]];

const signedTable = rampOf(SIGNED);
const heatTable = rampOf(HEAT);

/** 256 colours through anchors.
 * @param {number[][]} anchors */
function rampOf(anchors) {
  const table = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (anchors.length - 1);
    const low = Math.min(Math.floor(at), anchors.length - 2);
    for (let c = 0; c < 3; c++) table[3 * i + c] = anchors[low][c] + (at - low) * (anchors[low + 1][c] - anchors[low][c]);
  }
  return table;
}

/** A CSS colour of a number from -1 to 1.
 * @param {number} x */
export function signedColour(x) {
  const i = 3 * Math.round(127.5 * (Math.max(-1, Math.min(1, x)) + 1));
  return `rgb(${signedTable[i]} ${signedTable[i + 1]} ${signedTable[i + 2]})`;
}

/** A CSS colour of a number from 0 to 1.
 * @param {number} x */
export function heatColour(x) {
  const i = 3 * Math.round(255 * Math.max(0, Math.min(1, x)));
  return `rgb(${heatTable[i]} ${heatTable[i + 1]} ${heatTable[i + 2]})`;
}

/**
 * A canvas of one pixel for each pixel of an image, enlarged by CSS, and a name for who cannot see it.
 * @param {number} width
 * @param {number} height
 * @param {string} label
 * @param {string} [size] "", "large", "medium" or "little"
 */
export function tile(width, height, label, size = "") {
  const canvas = el("canvas", { width, height, class: `tile ${size}`.trim(), role: "img", "aria-label": label });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  return { canvas, context, image: context.createImageData(width, height) };
}

/**
 * A picture of a model's images: `paint` takes pixels as the model has them.
 * @param {import("../math/model.js").Model} model
 * @param {string} label
 * @param {string} [size]
 */
export function picture(model, label, size = "") {
  const { canvas, context, image } = tile(model.width, model.height, label, size);
  return {
    canvas,
    /** @param {Float64Array} pixels */
    paint(pixels) {
      paintUnit(image.data, model.unit(pixels), model.channels);
      context.putImageData(image, 0, 0);
    },
  };
}

/**
 * A picture of signed numbers, one for each pixel (and channel): white is none, blue below, orange above. A colour image's
 * channels are shown side by side in their own colours: the number's size is added to or taken from a middle grey.
 * @param {import("../math/model.js").Model} model
 * @param {string} label
 * @param {string} [size]
 */
export function signed(model, label, size = "") {
  const { canvas, context, image } = tile(model.width, model.height, label, size);
  return {
    canvas,
    /** The numbers are divided by the scale; by default by the largest.
     * @param {Float64Array} values
     * @param {number} [scale] */
    paint(values, scale = largest(values)) {
      if (model.channels === 1) paintSigned(image.data, values, scale);
      else paintUnit(image.data, values.map((v) => 0.5 + 0.5 * (v / (scale || 1))), model.channels);
      context.putImageData(image, 0, 0);
    },
  };
}

/** The largest size of a list of numbers.
 * @param {ArrayLike<number>} values */
export function largest(values) {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]));
  return most;
}

/** RGBA bytes of numbers in 0..1, grey or interleaved RGB.
 * @param {Uint8ClampedArray} data
 * @param {ArrayLike<number>} unit
 * @param {number} channels */
export function paintUnit(data, unit, channels) {
  for (let i = 0, n = data.length / 4; i < n; i++) {
    for (let c = 0; c < 3; c++) data[4 * i + c] = 255 * unit[channels === 1 ? i : channels * i + c];
    data[4 * i + 3] = 255;
  }
}

/** RGBA bytes of signed numbers over a scale.
 * @param {Uint8ClampedArray} data
 * @param {ArrayLike<number>} values
 * @param {number} scale */
export function paintSigned(data, values, scale) {
  for (let i = 0; i < values.length; i++) {
    const at = 3 * Math.round(127.5 * (Math.max(-1, Math.min(1, values[i] / (scale || 1))) + 1));
    for (let c = 0; c < 3; c++) data[4 * i + c] = signedTable[at + c];
    data[4 * i + 3] = 255;
  }
}

/** RGBA bytes of numbers from 0 to a scale, dark to bright.
 * @param {Uint8ClampedArray} data
 * @param {ArrayLike<number>} values
 * @param {number} scale */
export function paintHeat(data, values, scale) {
  for (let i = 0; i < values.length; i++) {
    const at = 3 * Math.round(255 * Math.max(0, Math.min(1, values[i] / (scale || 1))));
    for (let c = 0; c < 3; c++) data[4 * i + c] = heatTable[at + c];
    data[4 * i + 3] = 255;
  }
}
