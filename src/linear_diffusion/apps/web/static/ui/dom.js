/**
 * Elements: the few shapes that all views are built of.
 */

/** @typedef {Node | string | number | null | undefined | false} Child */

let nameCount = 0;

/** A name that no other element has.
 * @param {string} stem */
export function uniqueId(stem) {
  nameCount += 1;
  return `${stem}-${nameCount}`;
}

/**
 * An element. `class` and names with a dash are attributes, `on` holds listeners, all else are properties.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "class" || name === "role" || name === "for" || name.includes("-")) node.setAttribute(name, String(value));
    else if (name === "dataset") Object.assign(node.dataset, value);
    else Object.assign(node, { [name]: value });
  }
  node.append(...children.filter((c) => c !== null && c !== undefined && c !== false).map((c) => (c instanceof Node ? c : String(c))));
  return node;
}

/** Puts a text into a node, where it is another than before: a page that does not change costs no layout.
 * @param {Node} node
 * @param {string} text */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A button.
 * @param {string} text
 * @param {() => void} click
 * @param {Record<string, any>} [props] */
export function button(text, click, props = {}) {
  return el("button", { type: "button", on: { click }, ...props }, text);
}

/** A control with its name above it, and perhaps its value beside the name.
 * @param {string} name
 * @param {HTMLElement} control
 * @param {Node | null} [value]
 * @param {string} [className] */
export function field(name, control, value = null, className = "") {
  return el("label", { class: `field ${className}`.trim() }, el("span", { class: "name" }, name, value), control);
}

/**
 * A slider with its name and value.
 * @param {{name: string, min: number, max: number, step: number, value: number, text?: (x: number) => string, input: (x: number) => void}} options
 */
export function slider({ name, min, max, step, value, text = String, input }) {
  const shown = el("span", { class: "number", "aria-hidden": "true" }, text(value));
  const say = () => {
    shown.textContent = text(control.valueAsNumber);
    control.setAttribute("aria-valuetext", text(control.valueAsNumber));
  };
  const control = el("input", {
    type: "range", min: String(min), max: String(max), step: String(step),
    on: { input: () => { say(); input(control.valueAsNumber); } },
  });
  control.value = String(value);
  say();
  return {
    element: field(name, control, shown),
    control,
    /** @param {number} x */
    set(x) {
      if (document.activeElement !== control || control.valueAsNumber !== x) control.value = String(x);
      say();
    },
  };
}

/**
 * A choice of one among several.
 * @param {{name: string, options: [string, string][], value: string, change: (value: string) => void}} options
 */
export function choice({ name, options, value, change }) {
  const control = el("select", { on: { change: () => change(control.value) } },
    ...options.map(([key, text]) => el("option", { value: key }, text)));
  control.value = value;
  return {
    element: field(name, control),
    control,
    /** @param {string} v */
    set(v) {
      control.value = v;
    },
  };
}

/** A part of a view, with a heading and a sentence that says what is seen.
 * @param {string} title
 * @param {string} text
 * @param {...Child} children */
export function panel(title, text, ...children) {
  const id = uniqueId("panel");
  return el("section", { class: "panel", "aria-labelledby": id }, el("h3", { id }, title), text && el("p", { class: "quiet" }, text), ...children);
}

/** A picture with a caption.
 * @param {HTMLElement} picture
 * @param {string} name
 * @param {string} [text] */
export function captioned(picture, name, text = "") {
  return el("figure", {}, picture, el("figcaption", {}, el("strong", {}, name), text));
}

/** A sign between pictures: "+", "=", "0.5 ×".
 * @param {string} text */
export function sign(text) {
  return el("span", { class: "operator" }, text);
}

/** The head of a view.
 * @param {string} title
 * @param {...Child} text */
export function heading(title, ...text) {
  return el("header", {}, el("h2", {}, title), ...text.map((t) => (typeof t === "string" ? el("p", {}, t) : t)));
}
