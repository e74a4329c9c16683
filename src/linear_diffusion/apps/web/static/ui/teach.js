/**
 * Teach it: the visitor draws a symbol a few times, and the model has learned it. What it learned, and what it can do then, is shown below.
 */

import { momentsOfPictures, shared } from "../math/teach.js";
import { button, el, field, heading, uniqueId } from "./dom.js";
import { dropZone, pictureFrom } from "./files.js";
import { heart } from "./hearts.js";
import { countDrawings, MOST_LINKED, picturesOf, readLessons, writeLessons, wrongName } from "./lessons.js";
import { drawingPad, packDrawing } from "./pad.js";
import { picture } from "./paint.js";
import { mixPart, restorePart, samplesPart } from "./teach_ask.js";
import { sumsPart } from "./teach_sums.js";

/** @typedef {import("./lessons.js").Lesson} Lesson */
/** @typedef {import("../math/teach.js").Encoded} Encoded */
/** What the parts of this view are given: a symbol that the model has learned, and its place among the model's prompts.
 * @typedef {{name: string, prompt: number, pictures: Encoded[], drawings: string[]}} Taught */

/** How many hearts are drawn for who does not want to. */
const EXAMPLES = 5;

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function teachView(app) {
  const { t } = app;
  const pad = drawingPad(app, { label: t("teach.pad"), change: () => restore.drawn(pad.pixels()) });
  const samples = samplesPart(app);
  const mix = mixPart(app);
  const restore = restorePart(app);
  const sums = sumsPart(app);
  const learned = [samples, mix, restore, sums];

  const problem = el("p", { class: "error", role: "alert", id: uniqueId("problem") });
  const said = el("p", { class: "quiet" });
  const name = el("input", { type: "text", autocomplete: "off", spellcheck: false, maxLength: 40, "aria-describedby": problem.id, on: { input: rename } });
  const symbols = el("div", { class: "controls", role: "group", "aria-label": t("teach.symbols") });
  const gallery = el("ul", { class: "gallery", "aria-label": t("teach.gallery") });
  const nothing = el("div", { class: "nothing" }, el("p", { class: "quiet" }, t("teach.nothing")), button(t("teach.example", { count: EXAMPLES }), addExamples));
  const linked = el("p", { class: "quiet small" });
  pad.buttons.prepend(button(t("teach.add"), addDrawn, { class: "main" }));

  const element = el("div", { class: "view teach" },
    heading(t("teach.title"), t("teach.text")),
    el("div", { class: "lesson" },
      el("section", { class: "panel", "aria-label": t("teach.draw") },
        symbols, field(t("teach.name"), name), problem, pad.element,
        dropZone({ text: t("teach.drop"), choices: [{ text: t("teach.files"), accept: "image/*" }], take: addFiles })),
      el("section", { class: "panel", "aria-label": t("teach.gallery") }, el("h3", {}, t("teach.gallery")), said, nothing, gallery, linked, samples.element)),
    mix.element, restore.element, sums.element);

  /** The symbols of the state, and which is in hand; one after the last is a new one. */
  function lessonsNow() {
    const lessons = readLessons(app.state.taught);
    return { lessons, at: Math.max(0, Math.min(Math.trunc(app.state.lesson), lessons.length)) };
  }

  /** Names that the symbol in hand cannot have. @param {Lesson[]} lessons @param {number} at */
  function taken(lessons, at) {
    return [...app.base.prompts, ...lessons.filter((_, i) => i !== at).map((lesson) => lesson.name)];
  }

  /** Says what is wrong with the name, if anything is. @param {Lesson[]} lessons @param {number} at */
  function nameNow(lessons, at) {
    const value = name.value.trim().normalize("NFC");
    const wrong = wrongName(value, taken(lessons, at));
    complain(wrong ? t(wrong, { name: value }) : "");
    name.setAttribute("aria-invalid", String(Boolean(wrong)));
    return wrong ? "" : value;
  }

  /** @param {string} text */
  function complain(text) {
    problem.textContent = text;
    problem.hidden = !text;
  }

  function rename() {
    const { lessons, at } = lessonsNow();
    const value = nameNow(lessons, at);
    if (!value || !lessons[at]) return;
    const isAsked = app.state.prompt === lessons[at].name;
    lessons[at].name = value;
    app.set({ taught: writeLessons(lessons), prompt: isAsked ? value : app.state.prompt });
  }

  function addDrawn() {
    const pixels = pad.pixels();
    if (!pixels) return complain(t("teach.empty"));
    if (add([pixels])) pad.clear();
  }

  function addExamples() {
    add(Array.from({ length: EXAMPLES }, (_, i) => heart(app.base, i)));
  }

  /** @param {File[]} files */
  async function addFiles(files) {
    const pictures = [];
    const notes = [];
    for (const file of files) {
      try {
        const { pixels, isInverted } = await pictureFrom(app.base, file);
        pictures.push(pixels);
        if (isInverted) notes.push(t("teach.inverted", { name: file.name }));
      } catch {
        notes.push(t("teach.unread", { name: file.name }));
      }
    }
    if (pictures.length && !add(pictures)) return;
    const { width, height } = app.base;
    tell([pictures.length ? t("teach.resized", { count: pictures.length, width, height }) : "", ...notes].join(" "));
  }

  /** Teaches pictures; false where the symbol has no name that goes. @param {Float64Array[]} pictures */
  function add(pictures) {
    const begun = performance.now();
    const { lessons, at } = lessonsNow();
    const value = nameNow(lessons, at);
    if (!value) {
      name.focus();
      return false;
    }
    lessons[at] ??= { name: value, drawings: [] };
    lessons[at].drawings.push(...pictures.map((pixels) => packDrawing(app.base, pixels)));
    app.set({ taught: writeLessons(lessons), lesson: at, prompt: value, style: "" });
    tell(t("teach.added", { name: value, count: lessons[at].drawings.length, ms: Math.ceil(performance.now() - begun) }));
    return true;
  }

  /** Takes a drawing back: the model is that which never saw it. @param {number} i */
  function takeBack(i) {
    const { lessons, at } = lessonsNow();
    const lesson = lessons[at];
    const before = picturesOf(app.base, lesson);
    lesson.drawings.splice(i, 1);
    const isLast = lesson.drawings.length === 0;
    const { prompt } = app.state;
    const draft = lesson.name;
    app.set({ taught: writeLessons(lessons), lesson: at, prompt: isLast && prompt.includes(draft) ? "" : prompt });
    if (isLast) name.value = draft;
    tell(t("teach.taken", { count: lesson.drawings.length, difference: difference(before, i).toExponential(0) }));
    const next = /** @type {HTMLElement | null} */ (gallery.querySelectorAll("button")[Math.min(i, lesson.drawings.length - 1)] ?? null);
    (next ?? name).focus();
  }

  /** How far the sums from which a drawing is subtracted are from those that never had it, as a share of the largest number.
   * @param {Encoded[]} pictures @param {number} i */
  function difference(pictures, i) {
    const sum = momentsOfPictures(app.base, pictures);
    sum.exclude(pictures[i].z, pictures[i].discarded);
    const never = momentsOfPictures(app.base, pictures.filter((_, j) => j !== i));
    const far = (/** @type {Float64Array} */ a, /** @type {Float64Array} */ b) =>
      a.reduce((most, x, j) => Math.max(most, Math.abs(x - b[j])), 0) / (b.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1);
    return Math.max(far(sum.mean, never.mean), far(sum.scatter, never.scatter));
  }

  /** @param {string} text */
  function tell(text) {
    said.textContent = text;
    said.hidden = !text;
    app.say(text);
  }

  /** @param {Lesson[]} lessons @param {number} at */
  function showSymbols(lessons, at) {
    const choose = (/** @type {number} */ i) => {
      tell("");
      app.set({ lesson: i });
    };
    const press = (/** @type {string} */ text, /** @type {number} */ i) => button(text, () => choose(i), { "aria-pressed": String(i === at) });
    symbols.replaceChildren(
      ...lessons.map((lesson, i) => press(t("teach.symbol", { name: lesson.name, count: lesson.drawings.length }), i)),
      ...(lessons.length ? [press(t("teach.another"), lessons.length)] : []));
    symbols.hidden = lessons.length === 0;
    if (document.activeElement !== name) name.value = lessons[at]?.name ?? suggestedName(taken(lessons, at));
  }

  /** A name for a new symbol. @param {string[]} used */
  function suggestedName(used) {
    const names = t("teach.suggested").split(" ");
    return names.find((n) => !used.includes(n)) ?? `${names[0]} ${used.length}`;
  }

  /** @param {Encoded[]} pictures */
  function showGallery(pictures) {
    gallery.replaceChildren(...pictures.map(({ pixels }, i) => {
      const tile = picture(app.base, t("teach.drawing", { number: i + 1 }), "fill");
      tile.paint(pixels);
      return el("li", {}, tile.canvas, button(t("teach.back"), () => takeBack(i), { "aria-label": t("teach.back.label", { number: i + 1 }) }));
    }));
    nothing.hidden = pictures.length > 0;
  }

  let shown = "";
  /** @type {Taught | null} */
  let symbol = null;

  function show() {
    const { lessons, at } = lessonsNow();
    const lesson = lessons[at];
    const pictures = lesson ? picturesOf(app.base, lesson) : [];
    const prompt = lesson ? app.model.prompts.indexOf(lesson.name) : -1;
    symbol = prompt < 0 ? null : { name: lesson.name, prompt, pictures, drawings: lesson.drawings };
    complain("");
    showSymbols(lessons, at);
    showGallery(pictures);
    const isFull = countDrawings(lessons) > MOST_LINKED;
    linked.textContent = isFull ? t("teach.linked", { most: MOST_LINKED }) : "";
    linked.hidden = !isFull;
    for (const part of learned) part.element.hidden = !symbol;
  }

  let asked = "";
  let waiting = 0;
  /** Shows what takes longer part by part, so that the page answers at once. @param {import("./teach_ask.js").Part[]} parts */
  function showLater([part, ...rest]) {
    clearTimeout(waiting);
    waiting = window.setTimeout(() => {
      if (symbol) part.update(app.state, symbol);
      if (rest.length) showLater(rest);
    });
  }

  tell("");
  setTimeout(() => shared(app.base)); // so that the first drawing need not wait for it
  return {
    element,
    update(state) {
      const { lesson, seed, blend, hidden, grain } = state;
      const key = `${app.model.id} ${lesson}`;
      if (key !== shown) {
        shown = key;
        show();
      }
      const now = [key, seed, blend, hidden, grain].join(" ");
      if (now === asked || !symbol) return;
      asked = now;
      samples.update(state, symbol);
      showLater([mix, restore, sums]);
    },
    leave() {
      clearTimeout(waiting);
    },
  };
}
