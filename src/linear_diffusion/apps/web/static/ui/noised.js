/**
 * Noised: what the stations of the noise and of the denoiser look at, one picture with noise at one level.
 *
 *     z_t = alpha_t z + sigma_t eps        z: the visitor's drawing, or else the finished picture; eps: the noise of the seed
 */

import { SCHEDULES } from "../math/noise.js";
import { startNoise } from "../math/streams.js";
import { button, el, slider, write } from "./dom.js";
import { short } from "./numbers.js";
import { unpackDrawing } from "./pad.js";

/** The picture that stations look at. @param {import("../main.js").App} app */
export function chosenPicture(app) {
  const drawn = unpackDrawing(app.model, app.state.drawing);
  return { pixels: drawn ?? app.run().finished, isDrawn: drawn !== null };
}

/** The name of the schedule in use. @param {import("../main.js").App} app */
export function scheduleName(app) {
  return app.run().request.schedule || app.model.schedule;
}

/** The chosen picture with noise at the state's level. @param {import("../main.js").App} app */
export function noised(app) {
  const { model, state } = app;
  const { pixels, isDrawn } = chosenPicture(app);
  const z = model.encoder.encode(pixels);
  const eps = startNoise(app.run().request.seed ?? 0, 0, model.k);
  const t = Math.min(Math.max(state.level, 0), 1);
  const level = SCHEDULES[scheduleName(app)].at(t);
  return { isDrawn, z, eps, t, level, noisy: z.map((x, i) => level.alpha * x + level.sigma * eps[i]) };
}

/** The slider of the level, with alpha and sigma there; and where the picture comes from. @param {import("../main.js").App} app */
export function levelControls(app) {
  const { t } = app;
  const level = slider({ name: t("noised.level"), min: 0, max: 1, step: 0.01, value: app.state.level, text: (x) => `t = ${x.toFixed(2)}`, input: (x) => app.set({ level: x }) });
  const numbers = el("span", { class: "levels number" });
  const source = el("span", {});
  const draw = button("", () => app.set({ view: "encoder" }));
  const undraw = button(t("noised.undraw"), () => app.set({ drawing: "" }));
  level.element.classList.add("wide");
  const element = el("div", { class: "panel" },
    el("div", { class: "controls" }, level.element, numbers),
    el("div", { class: "buttons" }, source, draw, undraw));
  return {
    element,
    /** @param {ReturnType<typeof noised>} seen */
    update({ t: time, level: { alpha, sigma }, isDrawn }) {
      level.set(time);
      write(numbers, `alpha_t = ${short(alpha)}   sigma_t = ${short(sigma)}`);
      write(source, t(isDrawn ? "noised.drawing" : "noised.sample"));
      write(draw, t(isDrawn ? "noised.redraw" : "noised.draw"));
      undraw.hidden = !isDrawn;
    },
  };
}
