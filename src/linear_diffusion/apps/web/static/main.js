/**
 * The page: reads the model, keeps the state in the address, and shows one view of it at a time.
 *
 *     prompt --> encoder --> noise --> denoiser --> sampler --> picture       ui/path.js, and a file for each view
 *
 * What is computed is in math/, which knows no page; what is shown is in ui/.
 */

import { startRun } from "./math/model.js";
import { openModel } from "./math/open.js";
import { apartView } from "./ui/apart.js";
import { denoiserView } from "./ui/denoiser.js";
import { button, choice, el, field } from "./ui/dom.js";
import { encoderView } from "./ui/encoder.js";
import { taughtModel } from "./ui/lessons.js";
import { noiseView } from "./ui/noise.js";
import { ownView } from "./ui/own.js";
import { pathBar } from "./ui/path.js";
import { pictureView } from "./ui/picture.js";
import { Player } from "./ui/player.js";
import { promptView } from "./ui/prompt.js";
import { samplerView } from "./ui/sampler.js";
import { DEFAULTS, readAddress, writeAddress } from "./ui/state.js";
import { teachView } from "./ui/teach.js";
import { beginTour, tourCard } from "./ui/tour.js";
import { english } from "./strings/en.js";
import { russian } from "./strings/ru.js";

/** @typedef {import("./ui/state.js").State} State */
/** @typedef {{element: HTMLElement, update: (state: State) => void, leave?: () => void}} View */

/** @type {Record<string, (app: App) => View>} */
const VIEWS = {
  prompt: promptView, encoder: encoderView, noise: noiseView, denoiser: denoiserView, sampler: samplerView, picture: pictureView,
  apart: apartView, teach: teachView, own: ownView,
};
/** @type {Record<string, Record<string, string>>} */
const LANGUAGES = { en: english, ru: russian };
/** How long the address waits for the state to rest, in milliseconds: browsers refuse to be told at each frame. */
const REST = 250;

export class App {
  /** @param {import("./math/model.js").Model} model */
  constructor(model) {
    /** The model that the page came with, to return to. */
    this.firstModel = model;
    /** The model before it was taught anything: the page's, or a visitor's. */
    this.base = model;
    this.state = readAddress(location.hash);
    /** The model that is shown: it knows what the state says it was taught. */
    this.model = taughtModel(model, this.state.taught);
    /** @type {{key: string, run: import("./math/model.js").Run} | null} */
    this.lastRun = null;
    this.lastWritten = location.hash;
    this.waiting = 0;
    this.error = "";
    /** Which view is shown. */
    this.shown = "";
    /** @type {View | null} */
    this.view = null;
    this.player = new Player(() => this.run().nSteps + 1, () => Math.min(this.state.step, this.run().nSteps + 1), (step) => this.set({ step }));
    /** Says something to who listens to the page instead of seeing it. */
    this.live = el("div", { class: "unseen", role: "status", "aria-live": "polite" });
    window.addEventListener("hashchange", () => {
      if (location.hash !== this.lastWritten) this.#take(readAddress(location.hash));
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.build());
    this.build();
  }

  get language() {
    const wanted = this.state.lang || navigator.language.slice(0, 2);
    return Object.hasOwn(LANGUAGES, wanted) ? wanted : "en";
  }

  get theme() {
    return this.state.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  }

  /** A text in the page's language, with {values} put in. @param {string} key @param {Record<string, string | number>} [values] */
  t = (key, values = {}) => {
    const texts = LANGUAGES[this.language];
    const text = Object.hasOwn(texts, key) ? texts[key] : Object.hasOwn(english, key) ? english[key] : key;
    return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
  };

  /** Changes the state, and all that is seen with it. @param {Partial<State>} patch */
  set(patch) {
    this.#take({ ...this.state, ...patch });
  }

  /** @param {State} state */
  #take(state) {
    const old = this.state;
    this.state = state;
    clearTimeout(this.waiting);
    this.waiting = window.setTimeout(() => this.#write(), REST);
    if (state.taught !== old.taught) {
      this.model = taughtModel(this.base, state.taught);
      if (this.shown !== "teach") this.shown = ""; // other views are made for one model
    }
    if (state.lang !== old.lang || state.theme !== old.theme) this.build();
    else this.update();
  }

  #write() {
    this.lastWritten = writeAddress(this.state);
    history.replaceState(null, "", this.lastWritten);
  }

  /** The address of what is seen now. */
  get address() {
    return location.href.split("#")[0] + writeAddress(this.state);
  }

  /** Another model in place of the page's. Only what is asked of any model stays; prompts and what was taught do not.
   * @param {import("./math/model.js").Model} model */
  setModel(model) {
    const { view, sampler, steps, eta, guidance, seed, tour, lang, theme } = this.state;
    this.state = { ...DEFAULTS, view, sampler, steps, eta, guidance, seed, tour, lang, theme };
    this.#write();
    this.base = this.model = model;
    this.lastRun = null;
    this.build();
  }

  /** The run that the state asks for; where it asks for what there is not, the last one, and the page says why. */
  run() {
    const { prompt, negative, guidance, sampler, schedule, steps, eta, seed, style } = this.state;
    const request = {
      prompt: prompt || this.model.prompts[0], negative, guidanceScale: guidance, sampler, schedule: schedule || this.model.schedule,
      nSteps: steps, eta, seed, style,
    };
    const key = JSON.stringify([this.model.id, request]);
    if (this.lastRun?.key === key) return this.lastRun.run;
    this.error = "";
    try {
      this.lastRun = { key, run: startRun(this.model, request) };
    } catch (error) {
      if (!(error instanceof Error) || !("key" in error)) throw error;
      const { key: text, values } = /** @type {import("./math/model.js").RequestError} */ (error);
      this.error = this.t(text, values);
      const run = this.lastRun?.run ?? startRun(this.model, { ...request, ...usualRequest(this.model) });
      this.lastRun = { key, run };
    }
    return this.lastRun.run;
  }

  /** @param {string} text */
  say(text) {
    this.live.textContent = text;
  }

  /** Makes the whole page, in its language and theme. */
  build() {
    for (const part of [this.view, this.path, this.tour]) part?.leave?.();
    this.player.pause();
    document.documentElement.lang = this.language;
    document.documentElement.dataset.theme = this.theme;
    document.title = this.t("title");
    const { t } = this;
    /** @type {View} */
    this.path = pathBar(this);
    this.tour = tourCard(this);
    this.ask = askBar(this);
    this.about = el("p");
    this.place = el("div", { id: "view", role: "tabpanel", tabIndex: -1 });
    this.view = null;
    this.shown = "";
    document.body.replaceChildren(
      el("a", { class: "skip", href: "#view", on: { click: (/** @type {Event} */ e) => { e.preventDefault(); this.place?.focus(); } } }, t("skip")),
      el("header", { class: "top" }, el("h1", {}, t("title")), el("p", { class: "quiet small" }, t("motto")), tools(this)),
      el("main", {}, this.ask.element, this.path.element, this.place),
      el("footer", {}, this.about, el("p", {}, t("footer"))),
      this.tour.element, this.live);
    this.update();
  }

  /** What the model is, in a sentence. */
  aboutModel() {
    const { model } = this;
    const of = model.config.shrunk_from;
    const values = { images: model.nImages, prompts: model.prompts.length, components: model.k, styles: model.nStyles, width: model.width, height: model.height };
    return this.t("model.about", values) + (of ? " " + this.t("model.small", of) : "");
  }

  /** Shows the state as it is now. */
  update() {
    const id = Object.hasOwn(VIEWS, this.state.view) ? this.state.view : DEFAULTS.view;
    this.run();
    if (this.shown !== id) {
      this.view?.leave?.();
      this.view = VIEWS[id](this);
      this.shown = id;
      this.place?.replaceChildren(this.view.element);
      this.place?.setAttribute("aria-labelledby", `tab-${id}`);
    }
    if (this.about) this.about.textContent = this.aboutModel();
    for (const part of [this.ask, this.path, this.view, this.tour]) part?.update(this.state);
  }
}

/** What every model can draw. @param {import("./math/model.js").Model} model */
function usualRequest(model) {
  const { sampler, guidance, steps, eta, seed, style, negative } = DEFAULTS;
  return { prompt: model.prompts[0], sampler, guidanceScale: guidance, nSteps: steps, eta, seed, style, negative, schedule: model.schedule };
}

/** What is asked for: the prompt, the seed, and the button that draws. @param {App} app */
function askBar(app) {
  const { t } = app;
  const listId = "prompts";
  const prompt = el("input", {
    type: "text", autocomplete: "off", spellcheck: false, placeholder: app.model.prompts[0], "aria-describedby": "ask-error",
    on: { input: () => app.set({ prompt: prompt.value.trim(), style: "" }) },
  });
  prompt.setAttribute("list", listId);
  const seed = el("input", { type: "number", min: "0", max: "4294967295", step: "1", on: { input: () => seed.validity.valid && seed.value !== "" && app.set({ seed: seed.valueAsNumber }) } });
  const error = el("p", { class: "error", id: "ask-error", role: "alert" });
  const names = el("datalist", { id: listId });
  const element = el("form", { class: "ask", "aria-label": t("ask.name"), on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); draw(); } } },
    el("div", { class: "controls" },
      field(t("ask.prompt"), prompt, null, "wide"), names,
      field(t("ask.seed"), seed),
      button(t("ask.again"), () => { app.set({ seed: newSeed() }); draw(); }, { "aria-label": t("ask.again.label") }),
      el("button", { class: "main", type: "submit" }, t("ask.draw"))),
    error);
  function draw() {
    app.set({ step: 0, view: ["sampler", "picture", "noise", "denoiser"].includes(app.state.view) ? app.state.view : "sampler" });
    if (app.error) return;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) app.player.seek(app.player.length());
    else app.player.play();
  }
  let of = "";
  return {
    element,
    /** @param {State} state */
    update(state) {
      if (document.activeElement !== prompt) prompt.value = state.prompt || app.model.prompts[0];
      if (document.activeElement !== seed) seed.value = String(state.seed);
      error.textContent = app.error ?? "";
      error.hidden = !app.error;
      if (of !== app.model.id) {
        of = app.model.id;
        names.replaceChildren(...app.model.prompts.slice(0, 100).map((value) => el("option", { value })));
      }
    },
  };
}

/** @returns {number} */
function newSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0] % 100000;
}

/** The tour, the language and the theme. @param {App} app */
function tools(app) {
  const { t } = app;
  const language = choice({ name: t("language"), options: [["en", "English"], ["ru", "Русский"]], value: app.language, change: (lang) => app.set({ lang }) });
  language.element.querySelector(".name")?.classList.add("unseen");
  return el("div", { class: "tools" },
    button(t("tour.start"), () => beginTour(app), { class: "main" }),
    language.element,
    button(t(app.theme === "dark" ? "theme.light" : "theme.dark"), () => app.set({ theme: app.theme === "dark" ? "light" : "dark" })));
}

/** The page's model: within the page, or beside it. */
async function findModel() {
  const config = document.getElementById("model-config")?.textContent;
  const weights = document.getElementById("model-weights")?.textContent;
  if (config && weights) return openModel(JSON.parse(config), await gunzip(bytesOf(weights.trim())));
  const [first, second] = await Promise.all([fetch("model/config.json"), fetch("model/model.safetensors")]);
  return openModel(await first.json(), new Uint8Array(await second.arrayBuffer()));
}

/** @param {string} base64 */
function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
async function gunzip(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

findModel().then((model) => {
  Object.assign(window, { linearDiffusion: new App(model) }); // for tests, and for who opens the console
  document.documentElement.dataset.ready = "yes";
}, (error) => {
  document.body.replaceChildren(el("main", {}, el("p", { class: "error", role: "alert" }, `${english["model.failed"]} ${error.message}`)));
  throw error;
});
