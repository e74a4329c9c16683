/**
 * Pick: a tile of which one cell is chosen, by pointing, by a click that stays, or with the arrow keys.
 */

import { el } from "./dom.js";

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{columns: number, rows: number, label: string, line?: boolean, at: () => number, hover: (cell: number) => void, choose: (cell: number) => void}} options
 *   cells are counted row by row; `line` marks the whole column too; `hover` is told -1 when the pointer leaves, `at` is the cell that is shown
 */
export function picker(canvas, { columns, rows, label, line = false, at, hover, choose }) {
  const mark = el("div", { class: "mark" });
  const along = line && el("div", { class: "line" });
  canvas.setAttribute("aria-hidden", "true");
  const element = el("div", {
    class: "pick", role: "application", tabIndex: 0, "aria-label": label,
    on: {
      pointermove: (/** @type {PointerEvent} */ e) => (e.pointerType === "mouse" || e.buttons ? hover(cellOf(e)) : undefined),
      pointerleave: () => hover(-1),
      click: (/** @type {MouseEvent} */ e) => choose(cellOf(e)),
      keydown: (/** @type {KeyboardEvent} */ e) => {
        const [right, down] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[e.key] ?? [0, 0];
        if (!right && !down) return;
        e.preventDefault();
        const clamp = (/** @type {number} */ x, /** @type {number} */ n) => Math.max(0, Math.min(n - 1, x));
        choose(clamp(Math.floor(at() / columns) + down, rows) * columns + clamp((at() % columns) + right, columns));
      },
    },
  }, canvas, along, mark);

  /** @param {MouseEvent} event */
  function cellOf(event) {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    return Math.max(0, Math.min(rows - 1, row)) * columns + Math.max(0, Math.min(columns - 1, column));
  }

  return {
    element,
    cellOf,
    /** Puts the mark where `at` says. */
    update() {
      const cell = at();
      mark.style.left = `${(100 * (cell % columns)) / columns}%`;
      mark.style.top = `${(100 * Math.floor(cell / columns)) / rows}%`;
      mark.style.width = `${100 / columns}%`;
      mark.style.height = `${100 / rows}%`;
      if (along) along.style.left = `${(100 * ((cell % columns) + 0.5)) / columns}%`;
    },
  };
}
