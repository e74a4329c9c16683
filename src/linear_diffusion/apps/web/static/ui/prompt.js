/**
 * The view of the station "prompt".
 */

import { heading } from "./dom.js";

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function promptView(app) {
  const { t } = app;
  const element = heading(t("prompt.title"));
  return { element, update() {} };
}
