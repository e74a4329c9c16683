/**
 * Numbers as they are read.
 */

/** A number in four digits or so. @param {number} x */
export function short(x) {
  const size = Math.abs(x);
  return size === 0 ? "0" : size >= 0.0005 && size < 1000 ? x.toFixed(size < 10 ? 3 : 1) : x.toExponential(1);
}

/** A share in percent. @param {number} share @param {number} [digits] after the point */
export function percent(share, digits = 0) {
  return `${(100 * share).toFixed(digits)} %`;
}

/** A number with the digits that it needs, three after the point at most. @param {number} x */
export function rounded(x) {
  return Number(x.toFixed(3));
}
