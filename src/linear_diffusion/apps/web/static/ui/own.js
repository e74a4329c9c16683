/**
 * The view of the station "own".
 */

import { heading } from "./dom.js";

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function ownView(app) {
  const { t } = app;
  const element = heading(t("own.title"));
  return { element, update() {} };
}
