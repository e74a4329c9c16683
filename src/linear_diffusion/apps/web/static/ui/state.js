/**
 * State: all that decides what is seen, as one flat object that is kept in the address. A link reproduces it.
 */

import { linkedLessons } from "./lessons.js";

/** What a page starts with; only what differs stands in the address. */
export const DEFAULTS = {
  view: "sampler",
  prompt: "",          // "7", or a mix "3:0.5 8:0.5"; empty is the model's first prompt
  negative: "",        // what guidance leads away from; empty is all images
  guidance: 1,         // guidance_scale; 1 is off
  sampler: "ddim",
  schedule: "",        // empty is the model's
  steps: 50,           // n_steps
  eta: 0,              // ddim's share of ddpm's noise
  seed: 1,             // Python's random_state
  style: "",           // which of the prompt's styles; empty is drawn by frequency
  step: 0,             // how many steps of the run are shown
  level: 0.5,          // time t of the noise station, 0 clean to 1 noise
  components: 50,      // principal components that a drawing is sent through
  drawing: "",         // what the visitor drew, as packDrawing of ui/pad.js writes it
  parts: "weights",    // parts of "Take it apart" that are open, with commas between
  output: "clean",     // whose weights are shown: of the predicted "clean" picture, or of the predicted "noise"
  pixel: -1,           // output pixel that is taken apart, counted row by row; -1 is the middle one
  channel: 0,          // its channel, in colour pictures
  gallery: "components", // vectors that are shown as pictures: "components", "means", "modes" or "styles"
  page: 0,             // page of the gallery
  mode: 1,             // eigenmode that is looked at, the largest first
  factor: 0,           // power of two that its eigenvalue is multiplied by; at -6 it is zero
  dabs: "",            // pixels of the mean that were painted on, in base 36, "-" for darker, "." between
  draws: 0,            // draws of sampled training
  pieces: 1,           // how many Gaussians a prompt's styles are merged to
  taught: "",          // symbols and their drawings, as writeLessons of ui/lessons.js writes them; a link holds the first twenty
  lesson: 0,           // which of these symbols is in hand
  blend: "",           // the prompt that it is mixed with; empty is the model's first
  hidden: "right",     // the side of a drawing that is hidden and filled in
  grain: 0.4,          // noise on a drawing, in parts of the range of pixels
  tour: "",            // step of the guided tour; empty is none
  lang: "",            // "en" or "ru"; empty is the browser's
  theme: "",           // "light" or "dark"; empty is the system's
};

/** @typedef {typeof DEFAULTS} State */

/** What an address says; what is not understood is left out.
 * @param {string} hash
 * @returns {State} */
export function readAddress(hash) {
  const found = { ...DEFAULTS };
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const text = given.get(name);
    if (text === null || text in {}) continue; // "toString" and the like name nothing here, but every table has them
    if (typeof usual === "number") {
      const value = Number(text);
      if (text.trim() !== "" && Number.isFinite(value)) Object.assign(found, { [name]: value });
    } else Object.assign(found, { [name]: text });
  }
  return found;
}

/** The address of a state.
 * @param {State} state */
export function writeAddress(state) {
  const said = new URLSearchParams();
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const value = state[/** @type {keyof State} */ (name)];
    if (value !== usual) said.set(name, name === "taught" ? linkedLessons(String(value)) : String(value));
  }
  const text = said.toString();
  return text ? `#${text}` : "#";
}
