/**
 * Lessons: the symbols that a visitor teaches, as a text in the address, and the model that has learned them.
 *
 *     heart.A28K2z3.A30z5*star.A12z9        a name and its drawings, for each symbol; drawings as packDrawing of pad.js writes them
 *
 * The model is worked out from the text alone, so that a drawing which is taken back leaves nothing behind.
 */

import { encoded, momentsOfPictures, withPrompts } from "../math/teach.js";
import { unpackDrawing } from "./pad.js";

/** @typedef {import("../math/model.js").Model} Model */
/** @typedef {{name: string, drawings: string[]}} Lesson */

/** How many drawings a link holds. */
export const MOST_LINKED = 20;
const LONGEST_NAME = 30;
const NOT_IN_NAMES = /[.:*]/;

/** @param {string} text @returns {Lesson[]} */
export function readLessons(text) {
  return text.split("*").filter(Boolean).map((part) => {
    const [name, ...drawings] = part.split(".");
    return { name, drawings };
  });
}

/** @param {Lesson[]} lessons */
export function writeLessons(lessons) {
  return lessons.filter(({ drawings }) => drawings.length > 0).map(({ name, drawings }) => [name, ...drawings].join(".")).join("*");
}

/** What of a text goes into a link: its first drawings. @param {string} text */
export function linkedLessons(text) {
  let left = MOST_LINKED;
  return writeLessons(readLessons(text).map(({ name, drawings }) => {
    const first = drawings.slice(0, left);
    left -= first.length;
    return { name, drawings: first };
  }));
}

/** How many drawings there are in all. @param {Lesson[]} lessons */
export function countDrawings(lessons) {
  return lessons.reduce((sum, { drawings }) => sum + drawings.length, 0);
}

/** What is wrong with a name, as the key of a text; empty where nothing is.
 * @param {string} name @param {string[]} taken names that others have */
export function wrongName(name, taken) {
  if (!name || name.length > LONGEST_NAME) return "teach.name.length";
  if (NOT_IN_NAMES.test(name)) return "teach.name.signs";
  return taken.includes(name) ? "teach.name.taken" : "";
}

/** Drawings by what they are in a text, as each model encodes them. @type {WeakMap<Model, Map<string, import("../math/teach.js").Encoded | null>>} */
const encodings = new WeakMap();

/** The pictures of a lesson, without those that are none of the model's. @param {Model} model @param {Lesson} lesson */
export function picturesOf(model, { drawings }) {
  const known = encodings.get(model) ?? new Map();
  encodings.set(model, known);
  return drawings.map((code) => {
    if (!known.has(code)) {
      const pixels = unpackDrawing(model, code);
      known.set(code, pixels && encoded(model, pixels));
    }
    return known.get(code);
  }).filter((picture) => picture !== null);
}

/** A model that has learned all that a text says. @param {Model} base @param {string} text */
export function taughtModel(base, text) {
  const taken = [...base.prompts];
  const symbols = [];
  for (const lesson of readLessons(text)) {
    const pictures = picturesOf(base, lesson);
    if (pictures.length === 0 || wrongName(lesson.name, taken)) continue;
    taken.push(lesson.name);
    symbols.push({ name: lesson.name, moments: momentsOfPictures(base, pictures) });
  }
  return withPrompts(base, symbols);
}
