/**
 * Your model: a folder that Python's `save_pretrained` wrote is opened in the page, and the page's model is taken along as such a folder.
 */

import { checkConfig, ModelError, openModel } from "../math/open.js";
import { configDigest, saveModel, sha256, weightsName, zip } from "../math/save.js";
import { button, el, heading, panel } from "./dom.js";
import { dropZone } from "./files.js";
import { pythonOf, saveFile } from "./save.js";

const CONFIG = "config.json";
/** What the archive's folder, which the Python below reads, and the archive are called. */
const FOLDER = "model";
const ARCHIVE = "linear-diffusion-model.zip";
/** Components beyond which a page of live pictures is slow. */
const MANY_COMPONENTS = 200;

/** What is wrong with files: the key of a text, and what stands in it. */
class FilesError extends Error {
  /** @param {string} key @param {Record<string, string | number>} values */
  constructor(key, values = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

/** @param {import("../main.js").App} app @returns {import("../main.js").View} */
export function ownView(app) {
  const { t } = app;
  const error = el("p", { class: "error", role: "alert" });
  const said = el("p", { class: "quiet", role: "status" });
  const about = el("dl", { class: "facts" });
  const note = el("p", { class: "quiet" });
  const back = button(t("own.back"), () => show(app.firstModel, t("own.is.back")));
  const contents = el("ul", { class: "contents" });
  const taught = el("p", {});
  const code = el("code");

  const element = el("div", { class: "view own" },
    heading(t("own.title"), t("own.text")),
    el("div", { class: "columns" },
      panel(t("own.open"), t("own.open.text"),
        dropZone({ text: t("own.drop"), take: open, choices: [{ text: t("own.folder"), folder: true }, { text: t("own.files"), accept: ".json,.safetensors" }] }),
        error, said),
      panel(t("own.now"), "", about, note, el("div", { class: "controls" }, back))),
    panel(t("own.take"), t("own.take.text"), taught, contents,
      el("div", { class: "controls" }, button(t("own.download"), save, { class: "main" })),
      el("p", { class: "quiet" }, t("own.python", { archive: ARCHIVE })), el("pre", { tabIndex: 0, "aria-label": t("own.python.name") }, code)),
    panel(t("own.picture"), t("own.picture.text"), el("div", { class: "controls" }, button(t("own.picture.open"), () => app.set({ view: "picture" })))));

  /** @param {File[]} files */
  async function open(files) {
    error.textContent = "";
    said.textContent = t("own.reading");
    try {
      const model = await readModel(files);
      show(model, t("own.is.open", { images: model.nImages, prompts: model.prompts.length }));
    } catch (wrong) {
      said.textContent = "";
      if (wrong instanceof FilesError) error.textContent = t(wrong.key, wrong.values);
      else if (wrong instanceof ModelError) error.textContent = t("own.error.model", { why: wrong.message });
      else throw wrong;
    }
  }

  /** Another model is a page made anew, of which this view is no part any more. @param {import("../math/model.js").Model} model @param {string} text */
  function show(model, text) {
    app.setModel(model);
    app.say(text);
    document.getElementById("tab-own")?.focus({ preventScroll: true });
  }

  function save() {
    saveFile(ARCHIVE, new Blob([zip(FOLDER, saveModel(app.model))], { type: "application/zip" }));
    app.say(t("own.saved", { archive: ARCHIVE }));
  }

  let of = "";
  return {
    element,
    update() {
      code.textContent = pythonOf(app.model, app.run());
      if (of === app.model.id) return;
      of = app.model.id;
      const { model, base } = app;
      const isOwn = base !== app.firstModel;
      const facts = [
        ["own.fact.from", t(isOwn ? "own.from.you" : "own.from.page")], ["own.fact.images", model.nImages],
        ["own.fact.pixels", `${model.width} x ${model.height}${model.channels === 3 ? " RGB" : ""}`], ["own.fact.prompts", listedPrompts(model.prompts)],
        ["own.fact.components", model.k], ["own.fact.styles", model.nStyles],
      ];
      about.replaceChildren(...facts.flatMap(([key, value]) => [el("dt", {}, t(String(key))), el("dd", {}, value)]));
      note.textContent = [isOwn ? t("own.link") : "", model.k > MANY_COMPONENTS ? t("own.large", { components: model.k }) : ""].join(" ").trim();
      note.hidden = !note.textContent;
      back.hidden = !isOwn;
      const news = model.prompts.slice(base.prompts.length);
      taught.textContent = news.length ? t("own.taught", { prompts: listedPrompts(news), images: model.nImages - base.nImages }) : "";
      taught.hidden = news.length === 0;
      contents.replaceChildren(...Object.entries(saveModel(model)).map(([name, { length }]) => el("li", {}, el("code", {}, `${FOLDER}/${name}`), ` ${byteSize(length)}`)));
    },
  };
}

/** @param {string[]} names */
function listedPrompts(names) {
  return names.slice(0, 12).join(", ") + (names.length > 12 ? ", ..." : "");
}

/** @param {number} bytes */
function byteSize(bytes) {
  return bytes < 1e5 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** A model from the files of its folder; checks what Python's `from_pretrained` checks. @param {File[]} files */
async function readModel(files) {
  const found = new Map(files.sort((a, b) => b.webkitRelativePath.length - a.webkitRelativePath.length).map((file) => [file.name, file]));
  const config = found.get(CONFIG);
  if (!config) throw new FilesError("own.error.config");
  const text = (await config.text()).replace(/\r\n/g, "\n");
  let said;
  try {
    said = JSON.parse(text);
  } catch (error) {
    throw new FilesError("own.error.json", { why: error instanceof Error ? error.message : "" });
  }
  checkConfig(said);
  if (said.digest !== configDigest(text)) throw new FilesError("own.error.changed");
  const name = weightsName(said.sha256);
  const weights = found.get(name);
  if (!weights) throw new FilesError("own.error.weights", { name });
  if (weights.size !== said.bytes) throw new FilesError("own.error.bytes", { name, found: weights.size, wanted: said.bytes });
  const bytes = new Uint8Array(await weights.arrayBuffer());
  if (sha256(bytes) !== said.sha256) throw new FilesError("own.error.digest", { name });
  return openModel(said, bytes);
}
