/**
 * The view of the station "denoiser": a noisy picture goes in, the predicted noise and the predicted clean picture come out; the truth is beside
 * them, and what would come out under each other prompt.
 */

import { noiseOf } from "../math/denoiser.js";
import { captioned, el, heading, panel, write } from "./dom.js";
import { levelControls, noised } from "./noised.js";
import { rounded, short } from "./numbers.js";
import { largest, picture, signed } from "./paint.js";

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function denoiserView(app) {
  const { model, t } = app;
  const { encoder } = model;
  const controls = levelControls(app);
  const noisy = picture(model, t("denoiser.noisy"), "fill");
  const tiles = {
    eps: signed(model, t("denoiser.eps"), "fill"), trueEps: signed(model, t("denoiser.eps.true"), "fill"), offEps: signed(model, t("denoiser.eps.off"), "fill"),
    z0: picture(model, t("denoiser.z0"), "fill"), trueZ0: picture(model, t("denoiser.z0.true"), "fill"), offZ0: signed(model, t("denoiser.z0.off"), "fill"),
  };
  const told = el("p", { class: "quiet" });
  const errors = el("p", {});
  const formula = el("pre", { class: "formula", tabIndex: 0, "aria-label": t("denoiser.formula") });

  const others = model.prompts.map((prompt, j) => {
    const name = prompt || t("prompt.nameless");
    const tile = picture(model, "", "fill");
    tile.canvas.setAttribute("aria-hidden", "true");
    const error = el("span", { class: "number" });
    const button = el("button", { type: "button", class: "cell", "aria-label": "", on: { click: () => app.set({ prompt, style: "" }) } }, el("strong", {}, name), tile.canvas, error);
    return { j, name, tile, error, button };
  });
  /** Only what is in sight is worked out: there may be a thousand prompts. @type {Set<typeof others[number]>} */
  const inSight = new Set();
  const row = el("div", { class: "cells row", role: "group", "aria-label": t("denoiser.others") }, ...others.map(({ button }) => button));
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const other = others[others.findIndex(({ button }) => button === target)];
      if (isIntersecting) inSight.add(other);
      else inSight.delete(other);
    }
    update();
  }, { rootMargin: "3000px" });
  for (const { button } of others) watch.observe(button);

  const element = el("div", { class: "view" },
    heading(t("denoiser.title"), t("denoiser.here"), el("p", { class: "quiet" }, t("denoiser.real"))),
    controls.element,
    el("div", { class: "inandout" },
      panel(t("denoiser.in"), "", told, captioned(noisy.canvas, t("denoiser.noisy"), "z_t")),
      panel(t("denoiser.out"), t("denoiser.out.text"),
        el("div", { class: "threes" },
          captioned(tiles.eps.canvas, t("denoiser.eps"), "eps_hat"), captioned(tiles.trueEps.canvas, t("denoiser.eps.true"), "eps"), captioned(tiles.offEps.canvas, t("denoiser.eps.off"), "eps_hat − eps"),
          captioned(tiles.z0.canvas, t("denoiser.z0"), "z0_hat"), captioned(tiles.trueZ0.canvas, t("denoiser.z0.true"), "z"), captioned(tiles.offZ0.canvas, t("denoiser.z0.off"), "z0_hat − z")),
        errors)),
    panel(t("denoiser.formula"), t("denoiser.formula.text"), formula),
    panel(t("denoiser.others"), t(model.prompts.length > 1 ? "denoiser.others.text" : "prompt.single"), row));

  /** The denoiser of the mix, which costs an eigendecomposition. @type {{key: string, gaussian: import("../math/denoiser.js").Gaussian} | null} */
  let asked = null;
  function gaussian() {
    const { mix } = app.run();
    const key = JSON.stringify(mix);
    if (asked?.key !== key) asked = { key, gaussian: model.gaussian(mix) };
    return asked.gaussian;
  }

  function update() {
    const seen = noised(app);
    const { level, z, eps, noisy: z_t } = seen;
    controls.update(seen);
    const law = gaussian();
    const z0 = law.z0(level, z_t);
    const predicted = noiseOf(level, z_t, z0);
    const fromNoise = encoder.directions(eps);
    const fromPredicted = encoder.directions(predicted);
    const scale = largest(fromNoise);
    const from = encoder.decode(z);
    const to = encoder.decode(z0);
    noisy.paint(encoder.decode(z_t));
    tiles.eps.paint(fromPredicted, scale);
    tiles.trueEps.paint(fromNoise, scale);
    tiles.offEps.paint(fromPredicted.map((x, i) => x - fromNoise[i]), scale);
    tiles.z0.paint(to);
    tiles.trueZ0.paint(from);
    tiles.offZ0.paint(to.map((x, i) => x - from[i]), model.high - model.low);
    write(told, t("denoiser.told", { prompt: app.run().mix.map(([j, w]) => (w === 1 ? "" : `${rounded(w)} × `) + others[j].name).join(" + ") }));
    write(errors, t("denoiser.errors", { eps: short(rms(predicted, eps)), expected: short(Math.sqrt(expected(law, level))), z0: short(rms(z0, z)) }));
    write(formula, formulaAt(level));
    showOthers(level, z_t, eps);
  }

  /** @param {import("../math/noise.js").Level} level @param {Float64Array} z_t @param {Float64Array} eps */
  function showOthers(level, z_t, eps) {
    const weights = new Map(app.run().mix);
    let best = null;
    let least = Infinity;
    for (const other of inSight) {
      const z0 = model.law(other.j).gaussian.z0(level, z_t);
      const error = rms(noiseOf(level, z_t, z0), eps);
      if (error < least) [best, least] = [other, error];
      other.tile.paint(encoder.decode(z0));
      write(other.error, short(error));
      other.button.setAttribute("aria-label", t("denoiser.other.label", { prompt: other.name, error: short(error) }));
      other.button.setAttribute("aria-pressed", String((weights.get(other.j) ?? 0) > 0));
    }
    for (const other of inSight) other.button.classList.toggle("best", other === best && others.length > 1);
  }

  return { element, update, leave: () => watch.disconnect() };
}

/** The root of the mean square of a difference. @param {Float64Array} a @param {Float64Array} b */
function rms(a, b) {
  return Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0) / a.length);
}

/** The mean square error of the predicted noise, for latents of the denoiser's own Gaussian.
 * @param {import("../math/denoiser.js").Gaussian} law @param {import("../math/noise.js").Level} level */
function expected({ variances, k }, { alpha, sigma }) {
  return variances.reduce((sum, v) => sum + (v > 0 ? (alpha * alpha * v) / (alpha * alpha * v + sigma * sigma) : 0), 0) / k;
}

/** The denoiser's formula, and its numbers at a level. @param {import("../math/noise.js").Level} level */
function formulaAt({ alpha, sigma }) {
  return "eps_hat = sigma_t (alpha_t² S + sigma_t² I)⁻¹ (z_t − alpha_t mu)\n"
    + `        = ${short(sigma)} (${short(alpha * alpha)} S + ${short(sigma * sigma)} I)⁻¹ (z_t − ${short(alpha)} mu)\n`
    + "z0_hat  = (z_t − sigma_t eps_hat) / alpha_t";
}
