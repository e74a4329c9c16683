/**
 * The guided tour: a card that leads through the views.
 */

import { el } from "./dom.js";

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function tourCard(app) {
  const element = el("aside", { class: "tour", "aria-label": app.t("tour.name"), hidden: true });
  return { element, update() {} };
}
