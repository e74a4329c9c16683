/**
 * GIF: frames of pixels -> the bytes of an animated file (GIF89a), by an encoder of our own.
 *
 * Grey frames share the 256 greys, so that they are exact. A frame in colour has a palette of its own, by median cut.
 */

/** A frame: three bytes a pixel, and how long it is shown, in hundredths of a second. @typedef {{rgb: Uint8Array, delay: number}} Frame */

/** The file of frames, each pixel of which becomes a square of `times` pixels.
 * @param {{width: number, height: number, times: number, frames: Frame[]}} film @returns {Uint8Array<ArrayBuffer>} */
export function encodeGif({ width, height, times, frames }) {
  const isGrey = frames.every(({ rgb }) => rgb.every((v, i) => v === rgb[i - (i % 3)]));
  const greys = Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3));
  const size = [...word(width * times), ...word(height * times)];
  /** @type {number[]} */
  const out = [...latin("GIF89a"), ...size, isGrey ? 0xf7 : 0x70, 0, 0, ...(isGrey ? greys : [])];
  out.push(0x21, 0xff, 11, ...latin("NETSCAPE2.0"), 3, 1, 0, 0, 0); // again and again
  for (const { rgb, delay } of frames) {
    const { indices, palette } = isGrey ? { indices: rgb.filter((_, i) => i % 3 === 0), palette: null } : quantised(rgb);
    out.push(0x21, 0xf9, 4, 4, ...word(delay), 0, 0);
    out.push(0x2c, 0, 0, 0, 0, ...size, palette ? 0x87 : 0);
    for (const v of palette ?? []) out.push(v);
    const packed = packLzw(enlarged(indices, width, times));
    out.push(8);
    for (let i = 0; i < packed.length; i += 255) {
      const block = packed.slice(i, i + 255);
      out.push(block.length, ...block);
    }
    out.push(0);
  }
  out.push(0x3b);
  return Uint8Array.from(out);
}

/** @param {Uint8Array} indices @param {number} width @param {number} times */
function enlarged(indices, width, times) {
  const wide = width * times;
  const out = new Uint8Array(indices.length * times * times);
  for (let i = 0; i < out.length; i++) out[i] = indices[Math.floor(i / wide / times) * width + Math.floor((i % wide) / times)];
  return out;
}

/** @param {string} text */
function latin(text) {
  return [...text].map((c) => c.charCodeAt(0));
}

/** Two bytes, the lower first. @param {number} x */
function word(x) {
  return [x & 255, x >> 8];
}

/** Bytes as codes of 9 to 12 bits, each the longest row of bytes seen before and one more (Lempel, Ziv and Welch).
 * @param {Uint8Array} bytes @returns {number[]} */
function packLzw(bytes) {
  const [clear, end] = [256, 257];
  /** @type {number[]} */
  const out = [];
  let [held, bits, size] = [0, 0, 9];
  /** @param {number} code */
  const write = (code) => {
    held |= code << bits;
    for (bits += size; bits >= 8; bits -= 8, held >>>= 8) out.push(held & 255);
  };
  /** The code of a row and a byte after it, at 256 row + byte; 0 is none. */
  const known = new Uint16Array(256 * 4096);
  let next = end + 1;
  write(clear);
  let prefix = bytes[0];
  for (let i = 1; i < bytes.length; i++) {
    const key = 256 * prefix + bytes[i];
    if (known[key]) {
      prefix = known[key];
      continue;
    }
    write(prefix);
    prefix = bytes[i];
    if (next === 4096) {
      write(clear);
      known.fill(0);
      next = end + 1;
      size = 9;
    } else {
      known[key] = next;
      if (next === 1 << size) size += 1;
      next += 1;
    }
  }
  write(prefix);
  write(end);
  if (bits > 0) out.push(held & 255);
  return out;
}

/** The colours of a frame as 256 of them or fewer: boxes of colours are halved at the median of their widest channel, and each becomes its mean.
 * @param {Uint8Array} rgb */
function quantised(rgb) {
  const n = rgb.length / 3;
  /** @param {number[]} members */
  const box = (members) => {
    const widths = [0, 1, 2].map((c) => {
      let [low, high] = [255, 0];
      for (const i of members) [low, high] = [Math.min(low, rgb[3 * i + c]), Math.max(high, rgb[3 * i + c])];
      return high - low;
    });
    const width = Math.max(...widths);
    return { members, width, channel: widths.indexOf(width) };
  };
  const boxes = [box(Array.from({ length: n }, (_, i) => i))];
  while (boxes.length < 256) {
    const at = boxes.reduce((best, b, i) => (b.width > boxes[best].width ? i : best), 0);
    const { members, width, channel } = boxes[at];
    if (width === 0) break;
    members.sort((a, b) => rgb[3 * a + channel] - rgb[3 * b + channel]);
    const value = (/** @type {number} */ i) => rgb[3 * members[i] + channel];
    let half = members.length >> 1;
    while (half > 0 && value(half - 1) === value(half)) half -= 1; // equal colours stay together
    if (half === 0) half = members.findIndex((_, i) => value(i) !== value(0));
    boxes.splice(at, 1, box(members.slice(0, half)), box(members.slice(half)));
  }
  const indices = new Uint8Array(n);
  const palette = new Uint8Array(768);
  boxes.forEach(({ members }, j) => {
    for (let c = 0; c < 3; c++) palette[3 * j + c] = Math.round(members.reduce((sum, i) => sum + rgb[3 * i + c], 0) / members.length);
    for (const i of members) indices[i] = j;
  });
  return { indices, palette };
}
