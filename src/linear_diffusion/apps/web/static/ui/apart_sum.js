/**
 * One output pixel taken apart: predicted noise = what the noisy picture gives + what the prompt gives + bias, for the whole picture and for
 * one number of it.
 */

import { readingOf, takeApart } from "../math/apart.js";
import { signedText } from "./apart_bench.js";
import { picker } from "./apart_pick.js";
import { channelChoice } from "./apart_weights.js";
import { captioned, el } from "./dom.js";
import { largest, picture, signed, signedColour } from "./paint.js";

/** The terms of the sum, the total first. */
const TERMS = /** @type {const} */ (["total", "picture", "prompt", "bias"]);

/** @param {import("./apart_bench.js").Bench} bench @returns {import("../main.js").View} */
export function sumPart(bench) {
  const { app, model } = bench;
  const { t } = app;
  const level = bench.levelSlider();
  const channel = channelChoice(bench);
  const wait = el("p", { class: "quiet", role: "status" });
  const noisy = picture(model, t("apart.noisy"), "fill");
  const terms = TERMS.map((term) => {
    const name = t(`apart.sum.${term}`);
    const { canvas, paint } = signed(model, name, "fill");
    const pick = picker(canvas, {
      columns: model.width, rows: model.height, label: t("apart.sum.label", { term: name }), at: () => bench.pixel,
      hover: (pixel) => { bench.hovered = pixel; bench.refresh(); },
      choose: (pixel) => { bench.hovered = -1; app.set({ pixel }); app.say(`${bench.where()}: ${equation()}`); },
    });
    const chip = el("span", { class: "chip" });
    const number = el("output", { dataset: { term } });
    const figure = el("figure", {}, pick.element, el("figcaption", {}, el("strong", {}, name)), el("span", { class: "number" }, chip, number));
    return { term, name, paint, pick, chip, number, figure };
  });
  const [total, ...parts] = terms;
  const where = el("h4", {});
  const difference = el("p", { class: "quiet" });
  const shift = signed(model, t("apart.sum.shift"), "fill");
  const weights = signed(model, t("apart.sum.weights"), "fill");
  const products = signed(model, t("apart.sum.products"), "fill");
  const sum = el("output", { class: "big" });
  const operand = (/** @type {string} */ sign, /** @type {HTMLElement} */ figure) => el("div", { class: "operand" }, el("div", {}, sign && el("span", { class: "op" }, sign), figure));
  const element = el("div", { class: "stack" },
    el("div", { class: "controls" }, level.element, channel && channel.element),
    wait,
    where,
    el("div", { class: "operands" }, operand("", captioned(noisy.canvas, t("apart.noisy"), t("apart.noisy.text"))),
      operand("→", total.figure), ...parts.map(({ figure }, i) => operand(i ? "+" : "=", figure))),
    difference,
    el("h4", {}, t("apart.sum.inside")),
    el("div", { class: "operands" }, operand("", captioned(shift.canvas, t("apart.sum.shift"))), operand("×", captioned(weights.canvas, t("apart.sum.weights"))),
      operand("=", captioned(products.canvas, t("apart.sum.products"))), el("div", { class: "result" }, "Σ = ", sum)));

  function equation() {
    return `${total.number.textContent} = ${parts.map(({ name, number }) => `${number.textContent} ${name}`).join(" ")}`;
  }

  void bench.warm();
  return {
    element,
    update() {
      level.set(bench.time);
      channel?.set(String(bench.channel));
      const { common, index } = bench;
      wait.hidden = common !== null;
      if (!common) {
        wait.textContent = t("apart.sum.wait", { ready: bench.ready, all: model.prompts.length });
        return;
      }
      const z = bench.noisy;
      const key = JSON.stringify([app.run().request, bench.level]);
      const found = bench.kept("sum", key, () => takeApart(model, bench.gaussian, bench.level, z, common));
      const offset = bench.kept("offset", key, () => model.encoder.directions(z));
      noisy.paint(offset.map((x, i) => x + model.encoder.mean[i]));
      const scale = Math.max(...TERMS.map((term) => largest(found[term])));
      for (const { term, paint, pick, chip, number } of terms) {
        paint(found[term], scale);
        pick.update();
        number.textContent = signedText(found[term][index]);
        chip.style.backgroundColor = signedColour(found[term][index] / scale);
      }
      const row = readingOf(model, bench.gaussian, bench.level, index, "noise");
      const product = row.map((x, i) => x * offset[i]);
      const added = product.reduce((a, x) => a + x, 0);
      where.textContent = t("apart.sum.at", { pixel: bench.where() });
      const rest = found.total[index] - (added + found.prompt[index] + found.bias[index]);
      difference.textContent = t("apart.sum.difference", { difference: Math.abs(rest).toExponential(1) });
      difference.dataset.difference = String(rest);
      shift.paint(offset);
      weights.paint(row);
      products.paint(product);
      sum.textContent = signedText(added);
    },
  };
}
