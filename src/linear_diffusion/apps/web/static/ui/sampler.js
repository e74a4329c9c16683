/**
 * The view of the station "sampler".
 */

import { heading } from "./dom.js";

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function samplerView(app) {
  const { t } = app;
  const element = heading(t("sampler.title"));
  return { element, update() {} };
}
