/**
 * Player: goes through the steps of a run at an even pace, at each frame that the screen shows.
 */

import { button, el } from "./dom.js";

/** How long a run takes from noise to picture, in milliseconds, however many steps it has. */
const DURATION = 4000;

export class Player {
  /**
   * @param {() => number} length how many steps there are
   * @param {() => number} position which step is shown
   * @param {(step: number) => void} show shows a step
   */
  constructor(length, position, show) {
    this.length = length;
    this.position = position;
    this.show = show;
    this.playing = false;
    /** @type {Set<() => void>} */
    this.listeners = new Set();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** From where it stands, or from the start where it stands at the end. */
  play() {
    if (this.position() >= this.length()) this.show(0);
    this.playing = true;
    this.#tell();
    const each = DURATION / Math.max(1, this.length());
    const from = this.position();
    const begun = performance.now();
    const frame = () => {
      if (!this.playing) return;
      const step = Math.min(this.length(), from + Math.floor((performance.now() - begun) / each));
      if (step !== this.position()) this.show(step);
      if (step >= this.length()) this.pause();
      else requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  pause() {
    this.playing = false;
    this.#tell();
  }

  /** @param {number} step */
  seek(step) {
    this.pause();
    this.show(Math.max(0, Math.min(this.length(), step)));
  }

  #tell() {
    for (const listener of this.listeners) listener();
  }
}

/** The player's buttons and its slider.
 * @param {import("../main.js").App} app */
export function playerBar(app) {
  const { player, t } = app;
  const toggle = button("", () => player.toggle(), { class: "main" });
  const scrub = el("input", { type: "range", min: "0", step: "1", "aria-label": t("player.scrub"), on: { input: () => player.seek(scrub.valueAsNumber) } });
  const shown = el("output", { "aria-live": "off" });
  const element = el("div", { class: "player", role: "group", "aria-label": t("player.name") },
    el("div", { class: "buttons" },
      button("|◀", () => player.seek(0), { "aria-label": t("player.start") }),
      button("◀", () => player.seek(player.position() - 1), { "aria-label": t("player.back") }),
      toggle,
      button("▶", () => player.seek(player.position() + 1), { "aria-label": t("player.step") }),
      button("▶|", () => player.seek(player.length()), { "aria-label": t("player.end") })),
    scrub, shown);
  const tell = () => {
    toggle.textContent = player.playing ? t("player.pause") : t("player.play");
  };
  player.listeners.add(tell);
  tell();
  return {
    element,
    update() {
      const text = t("player.at", { step: player.position(), steps: player.length() });
      scrub.max = String(player.length());
      scrub.value = String(player.position());
      scrub.setAttribute("aria-valuetext", text);
      shown.textContent = text;
    },
    leave() {
      player.listeners.delete(tell);
    },
  };
}
