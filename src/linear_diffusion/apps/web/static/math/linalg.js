/**
 * Matrices as Float64Array, row by row: only what the model needs.
 */

/** a (m, n) times b (n, p). @param {Float64Array} a @param {Float64Array} b @param {number} m @param {number} n @param {number} p */
export function multiply(a, b, m, n, p) {
  const out = new Float64Array(m * p);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      const x = a[i * n + j];
      if (x === 0) continue;
      for (let l = 0, at = j * p, to = i * p; l < p; l++, at++, to++) out[to] += x * b[at];
    }
  }
  return out;
}

/** @param {Float64Array} a (m, n) @param {number} m @param {number} n */
export function transpose(a, m, n) {
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) out[j * m + i] = a[i * n + j];
  return out;
}

/** a (m, n) times x (n,). @param {Float64Array} a @param {Float64Array} x @param {number} m @param {number} n */
export function matVec(a, x, m, n) {
  const out = new Float64Array(m);
  for (let i = 0, at = 0; i < m; i++) {
    let sum = 0;
    for (let j = 0; j < n; j++, at++) sum += a[at] * x[j];
    out[i] = sum;
  }
  return out;
}

/** x (m,) times a (m, n). @param {Float64Array} x @param {Float64Array} a @param {number} m @param {number} n */
export function vecMat(x, a, m, n) {
  const out = new Float64Array(n);
  for (let i = 0, at = 0; i < m; i++) {
    const value = x[i];
    for (let j = 0; j < n; j++, at++) out[j] += value * a[at];
  }
  return out;
}

/** sum_i w_i a_i of arrays of one length. @param {number[]} weights @param {Float64Array[]} arrays */
export function combine(weights, arrays) {
  const out = new Float64Array(arrays[0].length);
  arrays.forEach((a, i) => {
    const w = weights[i];
    for (let j = 0; j < out.length; j++) out[j] += w * a[j];
  });
  return out;
}

/** @param {Float64Array} a @param {Float64Array} b */
export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/**
 * Eigenvalues, increasing, and eigenvectors in columns of a symmetric matrix (k, k): Householder's reduction to three diagonals, then QL
 * steps (Bowdler, Martin, Reinsch and Wilkinson 1968, as in EISPACK's tred2 and tql2).
 * @param {Float64Array} a @param {number} k
 */
export function eigh(a, k) {
  const v = Float64Array.from(a);
  const d = new Float64Array(k);
  const e = new Float64Array(k);
  tridiagonalise(v, d, e, k);
  return solveTridiagonal(v, d, e, k);
}

/** @param {Float64Array} v @param {Float64Array} d @param {Float64Array} e @param {number} n */
function tridiagonalise(v, d, e, n) {
  for (let j = 0; j < n; j++) d[j] = v[(n - 1) * n + j];
  for (let i = n - 1; i > 0; i--) {
    let scale = 0;
    let h = 0;
    for (let j = 0; j < i; j++) scale += Math.abs(d[j]);
    if (scale === 0) {
      e[i] = d[i - 1];
      for (let j = 0; j < i; j++) {
        d[j] = v[(i - 1) * n + j];
        v[i * n + j] = v[j * n + i] = 0;
      }
    } else {
      for (let j = 0; j < i; j++) {
        d[j] /= scale;
        h += d[j] * d[j];
      }
      let f = d[i - 1];
      let g = f > 0 ? -Math.sqrt(h) : Math.sqrt(h);
      e[i] = scale * g;
      h -= f * g;
      d[i - 1] = f - g;
      e.fill(0, 0, i);
      for (let j = 0; j < i; j++) {
        f = d[j];
        v[j * n + i] = f;
        g = e[j] + v[j * n + j] * f;
        for (let l = j + 1; l < i; l++) {
          g += v[l * n + j] * d[l];
          e[l] += v[l * n + j] * f;
        }
        e[j] = g;
      }
      f = 0;
      for (let j = 0; j < i; j++) {
        e[j] /= h;
        f += e[j] * d[j];
      }
      const hh = f / (h + h);
      for (let j = 0; j < i; j++) e[j] -= hh * d[j];
      for (let j = 0; j < i; j++) {
        f = d[j];
        g = e[j];
        for (let l = j; l < i; l++) v[l * n + j] -= f * e[l] + g * d[l];
        d[j] = v[(i - 1) * n + j];
        v[i * n + j] = 0;
      }
    }
    d[i] = h;
  }
  for (let i = 0; i < n - 1; i++) {
    v[(n - 1) * n + i] = v[i * n + i];
    v[i * n + i] = 1;
    const h = d[i + 1];
    if (h !== 0) {
      for (let l = 0; l <= i; l++) d[l] = v[l * n + i + 1] / h;
      for (let j = 0; j <= i; j++) {
        let g = 0;
        for (let l = 0; l <= i; l++) g += v[l * n + i + 1] * v[l * n + j];
        for (let l = 0; l <= i; l++) v[l * n + j] -= g * d[l];
      }
    }
    for (let l = 0; l <= i; l++) v[l * n + i + 1] = 0;
  }
  for (let j = 0; j < n; j++) {
    d[j] = v[(n - 1) * n + j];
    v[(n - 1) * n + j] = 0;
  }
  v[(n - 1) * n + n - 1] = 1;
  e[0] = 0;
}

/** @param {Float64Array} columns @param {Float64Array} d @param {Float64Array} e @param {number} n */
function solveTridiagonal(columns, d, e, n) {
  const v = transpose(columns, n, n); // eigenvectors in rows, which lie together in memory
  for (let i = 1; i < n; i++) e[i - 1] = e[i];
  e[n - 1] = 0;
  let f = 0;
  let most = 0;
  for (let l = 0; l < n; l++) {
    most = Math.max(most, Math.abs(d[l]) + Math.abs(e[l]));
    let m = l;
    while (m < n - 1 && Math.abs(e[m]) > Number.EPSILON * most) m++;
    if (m > l) {
      do {
        let g = d[l];
        let p = (d[l + 1] - g) / (2 * e[l]);
        let r = p < 0 ? -Math.hypot(p, 1) : Math.hypot(p, 1);
        d[l] = e[l] / (p + r);
        d[l + 1] = e[l] * (p + r);
        const next = d[l + 1];
        let h = g - d[l];
        for (let i = l + 2; i < n; i++) d[i] -= h;
        f += h;
        p = d[m];
        let [c, c2, c3, s, s2] = [1, 1, 1, 0, 0];
        const second = e[l + 1];
        for (let i = m - 1; i >= l; i--) {
          c3 = c2;
          c2 = c;
          s2 = s;
          g = c * e[i];
          h = c * p;
          r = Math.hypot(p, e[i]);
          e[i + 1] = s * r;
          s = e[i] / r;
          c = p / r;
          p = c * d[i] - s * g;
          d[i + 1] = h + s * (c * g + s * d[i]);
          const [one, two] = [i * n, (i + 1) * n];
          for (let j = 0; j < n; j++) {
            const old = v[two + j];
            v[two + j] = s * v[one + j] + c * old;
            v[one + j] = c * v[one + j] - s * old;
          }
        }
        p = (-s * s2 * c3 * second * e[l]) / next;
        e[l] = s * p;
        d[l] = c * p;
      } while (Math.abs(e[l]) > Number.EPSILON * most);
    }
    d[l] += f;
    e[l] = 0;
  }
  const order = Array.from(d.keys()).sort((i, j) => d[i] - d[j]);
  const values = new Float64Array(n);
  const vectors = new Float64Array(n * n);
  order.forEach((from, to) => {
    values[to] = d[from];
    for (let j = 0; j < n; j++) vectors[j * n + to] = v[from * n + j];
  });
  return { values, vectors };
}

/** The lower root L of a positive definite matrix (k, k), L L' = a. @param {Float64Array} a @param {number} k */
export function cholesky(a, k) {
  const l = new Float64Array(k * k);
  for (let i = 0; i < k; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * k + j];
      for (let m = 0; m < j; m++) sum -= l[i * k + m] * l[j * k + m];
      l[i * k + j] = i === j ? Math.sqrt(Math.max(sum, 0)) : l[j * k + j] > 0 ? sum / l[j * k + j] : 0;
    }
  }
  return l;
}

/** x of a x = b, for a positive definite a (k, k) and b (k, n). @param {Float64Array} a @param {Float64Array} b @param {number} k @param {number} [n] */
export function solve(a, b, k, n = 1) {
  const l = cholesky(a, k);
  const x = Float64Array.from(b);
  const take = (/** @type {number} */ i, /** @type {number} */ j, /** @type {number} */ times) => {
    for (let c = 0; c < n; c++) x[i * n + c] -= times * x[j * n + c];
  };
  const divide = (/** @type {number} */ i) => {
    for (let c = 0; c < n; c++) x[i * n + c] /= l[i * k + i];
  };
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < i; j++) take(i, j, l[i * k + j]);
    divide(i);
  }
  for (let i = k - 1; i >= 0; i--) {
    for (let j = i + 1; j < k; j++) take(i, j, l[j * k + i]);
    divide(i);
  }
  return x;
}

/** The inverse of a symmetric matrix (k, k) over eigenvalues above rounding. @param {Float64Array} a @param {number} k */
export function pseudoInverse(a, k) {
  const { values, vectors } = eigh(a, k);
  const least = 1e-10 * values[k - 1];
  const scaled = vectors.map((x, i) => (values[i % k] > least ? x / values[i % k] : 0));
  return multiply(scaled, transpose(vectors, k, k), k, k, k);
}
