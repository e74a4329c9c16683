/**
 * The view of the station "teach".
 */

import { heading } from "./dom.js";

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function teachView(app) {
  const { t } = app;
  const element = heading(t("teach.title"));
  return { element, update() {} };
}
