/**
 * The view of the station "denoiser".
 */

import { heading } from "./dom.js";

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function denoiserView(app) {
  const { t } = app;
  const element = heading(t("denoiser.title"));
  return { element, update() {} };
}
