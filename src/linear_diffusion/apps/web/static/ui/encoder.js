/**
 * The view of the station "encoder".
 */

import { heading } from "./dom.js";

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function encoderView(app) {
  const { t } = app;
  const element = heading(t("encoder.title"));
  return { element, update() {} };
}
