/**
 * Bench: what lies before the parts of "Take it apart": one prompt as one Gaussian, a level, a noisy picture, and a pixel that is looked at.
 */

import { meanBias } from "../math/apart.js";
import { SCHEDULES } from "../math/noise.js";
import { startNoise } from "../math/streams.js";
import { slider } from "./dom.js";

/** The least time of a level that is taken apart: at 0 there is no noise to predict. */
const LEAST_TIME = 0.02;

export class Bench {
  /** @param {import("../main.js").App} app */
  constructor(app) {
    this.app = app;
    this.model = app.model;
    /** The pixel under the pointer; -1 is none. */
    this.hovered = -1;
    /** How many prompts are Gaussians already. */
    this.ready = 0;
    /** @type {Map<string, any>} the last thing made for each name, and of what */
    this.made = new Map();
    /** Shows the parts anew, after what is not in the state has changed; all, or those on the screen. */
    this.refresh = (/** @type {boolean} */ _all = false) => {};
  }

  /** What `make` makes, kept until it is asked for with another key.
   * @template T @param {string} name @param {string} key @param {() => T} make @returns {T} */
  kept(name, key, make) {
    const found = this.made.get(name);
    if (found?.key === key) return found.value;
    const value = make();
    this.made.set(name, { key, value });
    return value;
  }

  /** Makes the prompts' Gaussians one by one, so that the page answers between them. */
  async warm() {
    while (this.ready < this.model.prompts.length) {
      await new Promise((resolve) => setTimeout(resolve));
      if (this.app.model !== this.model) return;
      void this.model.law(this.ready).gaussian;
      this.ready += 1;
    }
    this.refresh(true);
  }

  get mix() {
    return this.app.run().mix;
  }

  /** The prompt as it is spoken of. */
  get name() {
    return this.mix.map(([j, weight]) => (weight === 1 ? this.model.prompts[j] : `${this.model.prompts[j]}:${Number(weight.toPrecision(3))}`)).join(" ");
  }

  /** The prompt's Gaussian. */
  get gaussian() {
    return this.kept("gaussian", JSON.stringify(this.mix), () => this.model.gaussian(this.mix));
  }

  get time() {
    return Math.min(1, Math.max(LEAST_TIME, this.app.state.level));
  }

  get level() {
    return SCHEDULES[this.app.run().request.schedule || this.model.schedule].at(this.time);
  }

  /** The noise of the run. */
  get noise() {
    const seed = this.app.run().request.seed ?? 0;
    return this.kept("noise", String(seed), () => startNoise(seed, 0, this.model.k));
  }

  /** Noise that has nothing to do with the run. */
  get other() {
    const seed = this.app.run().request.seed ?? 0;
    return this.kept("other", String(seed), () => startNoise(seed, 1, this.model.k));
  }

  /** z_t = alpha z + sigma eps, of the run's picture and the run's noise. */
  get noisy() {
    const { alpha, sigma } = this.level;
    const run = this.app.run();
    return run.z[run.nSteps].map((x, i) => alpha * x + sigma * this.noise[i]);
  }

  /** The mean bias of all prompts, or null as long as these are not ready. */
  get common() {
    if (this.ready < this.model.prompts.length) return null;
    return this.kept("common", JSON.stringify(this.level), () => meanBias(this.model, this.level));
  }

  /** The pixel that is looked at. */
  get pixel() {
    const { width, height } = this.model;
    const all = width * height;
    if (this.hovered >= 0 && this.hovered < all) return this.hovered;
    const { pixel } = this.app.state;
    return Number.isInteger(pixel) && pixel >= 0 && pixel < all ? pixel : Math.floor(height / 2) * width + Math.floor(width / 2);
  }

  get channel() {
    return Math.min(this.model.channels - 1, Math.max(0, Math.round(this.app.state.channel)));
  }

  /** The number of the output that is looked at. */
  get index() {
    return this.pixel * this.model.channels + this.channel;
  }

  /** A pixel in words. */
  where() {
    const { t } = this.app;
    const place = t("apart.pixel", { row: Math.floor(this.pixel / this.model.width) + 1, column: (this.pixel % this.model.width) + 1 });
    return this.model.channels === 1 ? place : `${place}, ${t(`apart.channel.${this.channel}`)}`;
  }

  /** A slider for the level. */
  levelSlider() {
    const { app } = this;
    const made = slider({
      name: app.t("apart.level"), min: LEAST_TIME, max: 1, step: 0.01, value: this.time, text: () => levelText(app.t, this.time, this.level),
      input: (level) => app.set({ level }),
    });
    made.element.classList.add("wide");
    return made;
  }
}

/** @param {(key: string, values: Record<string, string | number>) => string} t @param {number} time @param {import("../math/noise.js").Level} level */
function levelText(t, time, { alpha, sigma }) {
  return t("apart.level.at", { time: time.toFixed(2), alpha: alpha.toFixed(3), sigma: sigma.toPrecision(3) });
}

/** A signed number with its sign, of so many digits after the point. @param {number} x @param {number} [digits] */
export function signedText(x, digits = 3) {
  const text = Math.abs(x).toFixed(digits);
  return (Number(text) === 0 ? "" : x < 0 ? "\u2212" : "+") + text;
}
