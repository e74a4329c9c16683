/**
 * The view of the station "apart".
 */

import { heading } from "./dom.js";

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function apartView(app) {
  const { t } = app;
  const element = heading(t("apart.title"));
  return { element, update() {} };
}
