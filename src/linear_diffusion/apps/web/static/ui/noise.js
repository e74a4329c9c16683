/**
 * The view of the station "noise".
 */

import { heading } from "./dom.js";

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function noiseView(app) {
  const { t } = app;
  const element = heading(t("noise.title"));
  return { element, update() {} };
}
