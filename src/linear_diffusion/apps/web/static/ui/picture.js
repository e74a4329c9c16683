/**
 * The view of the station "picture".
 */

import { heading } from "./dom.js";

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function pictureView(app) {
  const { t } = app;
  const element = heading(t("picture.title"));
  return { element, update() {} };
}
