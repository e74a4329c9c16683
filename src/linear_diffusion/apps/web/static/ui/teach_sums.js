/**
 * What a symbol is to the model: three sums, drawn to what all styles share; and how they change as drawings are added.
 */

import { momentsOfPictures, NU, ownShare, shared, withPrompts } from "../math/teach.js";
import { captioned, el, panel } from "./dom.js";
import { largest, paintSigned, picture, signed, tile } from "./paint.js";
import { exactPicture } from "./teach_ask.js";

/** How many components of a matrix are shown, and how many directions. */
const MATRIX_SIZE = 24;
const SHOWN_DIRECTIONS = 4;
/** After how many drawings the changes are shown. */
const SHOWN_COUNTS = [1, 5, 10, 20];

/** @param {import("../main.js").App} app @returns {import("./teach_ask.js").Part} */
export function sumsPart(app) {
  const { t, base } = app;
  const size = Math.min(MATRIX_SIZE, base.k);
  const count = el("output", { class: "count" });
  const mean = picture(base, t("teach.mean"), "fill");
  const [scatter, covariance, own, common] = ["teach.scatter", "teach.covariance", "teach.own", "teach.common"].map((key) => matrixTile(t(key)));
  const weights = el("p");
  const formula = el("p");
  const [mine, theirs] = [el("span"), el("span")];
  const bar = el("div", { class: "weight", role: "img" }, mine, theirs);
  const percent = el("span", { class: "op" });
  const rest = el("span", { class: "op" });
  const directions = Array.from({ length: Math.min(SHOWN_DIRECTIONS, base.k) }, (_, i) => {
    const picture = signed(base, t("teach.direction", { number: i + 1 }), "fill");
    const share = el("span", { class: "number" });
    return { picture, share, figure: el("figure", {}, picture.canvas, el("figcaption", {}, share)) };
  });
  const rows = el("tbody");
  const history = el("table", { class: "history" }, el("thead", {}, el("tr", {},
    ...["drawings", "share", "mean", "direction.1", "direction.2", "direction.3", "picture"].map((key) => el("th", { scope: "col" }, t(`teach.column.${key}`))))), rows);

  const element = panel(t("teach.sums"), t("teach.sums.text"),
    el("div", { class: "sums" },
      el("figure", {}, count, el("figcaption", {}, el("strong", {}, "n"), t("teach.count"))),
      captioned(mean.canvas, t("teach.mean"), t("teach.mean.text")),
      captioned(scatter.canvas, t("teach.scatter"), t("teach.scatter.text", { size }))),
    el("h3", {}, t("teach.shrunk")), weights, bar, formula,
    el("div", { class: "balance" },
      captioned(covariance.canvas, "S", t("teach.covariance")), percent, captioned(own.canvas, t("teach.own"), "scatter / n"), rest, captioned(common.canvas, t("teach.common"), "S_shared")),
    el("h3", {}, t("teach.directions")), el("p", { class: "quiet" }, t("teach.directions.text")),
    el("div", { class: "directions" }, ...directions.map(({ figure }) => figure)),
    el("h3", {}, t("teach.history")), el("p", { class: "quiet" }, t("teach.history.text")),
    el("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": t("teach.history") }, history),
    el("p", { class: "quiet" }, t("teach.curves")));

  /** @param {string} label */
  function matrixTile(label) {
    const { canvas, context, image } = tile(size, size, label, "fill");
    return {
      canvas,
      /** @param {Float64Array} matrix (k, k) @param {number} times @param {number} scale */
      paint(matrix, times, scale) {
        paintSigned(image.data, Float64Array.from({ length: size * size }, (_, i) => times * matrix[Math.floor(i / size) * base.k + (i % size)]), scale);
        context.putImageData(image, 0, 0);
      },
    };
  }

  /** Models that have learned the first drawings of a symbol alone. @type {Map<string, import("../math/model.js").Model>} */
  const known = new Map();

  /** The model after n drawings, and what it calls the symbol. @param {import("./teach.js").Taught} symbol @param {number} n */
  function after({ name, drawings, pictures }, n) {
    if (n === pictures.length) return { model: app.model, name };
    const key = drawings.slice(0, n).join(".");
    let model = known.get(key);
    if (!model) {
      model = withPrompts(base, [{ name: "*", moments: momentsOfPictures(base, pictures.slice(0, n)) }]);
      known.set(key, model);
    }
    return { model, name: "*" };
  }

  /** @param {import("./teach.js").Taught} symbol @param {number} n @param {number} seed */
  function row(symbol, n, seed) {
    const { model, name } = after(symbol, n);
    const law = model.law(model.prompts.indexOf(name));
    const { vectors } = directionsOf(law);
    const tiles = [picture(base, t("teach.mean"), "little"), ...[1, 2, 3].map((i) => signed(base, t("teach.direction", { number: i }), "little")), picture(base, t("teach.picture"), "little")];
    tiles[0].paint(base.encoder.decode(law.mean));
    [1, 2, 3].forEach((i) => vectors[i - 1] && tiles[i].paint(base.encoder.directions(vectors[i - 1])));
    tiles[4].paint(exactPicture(model, name, seed));
    return el("tr", {}, el("th", { scope: "row" }, n), el("td", { class: "number" }, sharePercent(ownShare(n))), ...tiles.map(({ canvas }) => el("td", {}, canvas)));
  }

  let of = "";
  return {
    element,
    update({ seed }, symbol) {
      const n = symbol.pictures.length;
      if (of === `${app.model.id} ${symbol.prompt} ${seed}`) return;
      of = `${app.model.id} ${symbol.prompt} ${seed}`;
      const moments = momentsOfPictures(base, symbol.pictures);
      const { covariance: everyone } = shared(base);
      const share = ownShare(n);
      const scale = largest(everyone) / 2;
      count.textContent = String(n);
      mean.paint(base.encoder.decode(moments.mean));
      scatter.paint(moments.scatter, 1, largest(moments.scatter) / 2);
      own.paint(moments.scatter, 1 / n, scale);
      common.paint(everyone, 1, scale);
      covariance.paint(moments.scatter.map((v, i) => (v + NU * everyone[i]) / (n + NU)), 1, scale);
      const [yours, styles] = [Math.round(100 * share), 100 - Math.round(100 * share)].map((x) => `${x} %`);
      percent.textContent = `= ${yours} ·`;
      rest.textContent = `+ ${styles} ·`;
      weights.textContent = t("teach.weights", { nu: NU, count: n, own: yours, rest: styles });
      formula.replaceChildren(el("code", {}, `S = (scatter + nu S_shared) / (n + nu) = (scatter + ${NU} S_shared) / (${n} + ${NU})`));
      mine.style.flexGrow = String(share);
      theirs.style.flexGrow = String(1 - share);
      bar.setAttribute("aria-label", weights.textContent);
      const { vectors, shares } = directionsOf(app.model.law(symbol.prompt));
      directions.forEach(({ picture: shown, share: text }, i) => {
        shown.paint(base.encoder.directions(vectors[i]));
        text.textContent = sharePercent(shares[i]);
      });
      rows.replaceChildren(...[...SHOWN_COUNTS.filter((c) => c < n), n].map((c) => row(symbol, c, seed)));
    },
  };
}

/** The widest directions of a law of one style, and their shares of its variance. @param {import("../math/model.js").Law} law */
function directionsOf({ k, rank, factors, basis, variances }) {
  const values = variances.map((v, i) => v + factors.subarray(i * rank, (i + 1) * rank).reduce((sum, x) => sum + x * x, 0));
  const total = values.reduce((sum, v) => sum + v, 0);
  const order = Array.from({ length: Math.min(SHOWN_DIRECTIONS, k) }, (_, i) => k - 1 - i);
  return { vectors: order.map((j) => Float64Array.from({ length: k }, (_, i) => basis[i * k + j])), shares: order.map((j) => values[j] / total) };
}

/** @param {number} share */
function sharePercent(share) {
  return `${Math.round(100 * share)} %`;
}
