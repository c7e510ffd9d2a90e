// A canvas to draw on: with a pen, a finger, a mouse, or the arrow keys.

import { button, el, icon, tick, uid } from "./dom.js";
import { PENS, paint } from "./ink.js";

const SIZE = 512; // pixels of the canvas, whatever its size on the screen
const RUBBER = 2.5; // a rubber is so many times wider than the pen
const [STRIDE, LONG] = [0.02, 0.1]; // of the arrow keys, without and with Shift

/**
 * A canvas with its tools. `changed(strokes, {trim, inverted})` runs after each stroke and each switch.
 * `inverted` is where the switch between black and white ink starts; null leaves these switches out.
 */
export function drawing(name, changed, { inverted = false, strokes = [] } = {}) {
  const options = { trim: true, inverted: Boolean(inverted) };
  let [pen, rubber, stroke] = ["medium", false, null];
  let [cursor, shown] = [[0.5, 0.5], false]; // of the arrow keys

  const help = uid();
  const canvas = el("canvas", {
    width: SIZE,
    height: SIZE,
    tabindex: "0",
    role: "application",
    class: "sheet",
    "aria-label": `Drawing of ${name}`,
    "aria-describedby": help,
  });
  const preview = el("canvas", {
    width: 96,
    height: 96,
    class: "preview",
    role: "img",
    "aria-label": "What is searched with",
  });

  const context = canvas.getContext("2d");
  const previewed = preview.getContext("2d");

  function show() {
    paint(context, strokes, { inverted: options.inverted });
    if (shown) {
      const [x, y] = cursor.map((share) => share * SIZE);
      context.strokeStyle = "#b4501c";
      context.lineWidth = stroke ? 6 : 2;
      context.beginPath();
      context.arc(x, y, 12, 0, 2 * Math.PI);
      context.stroke();
    }
    paint(previewed, strokes, options);
    undo.disabled = clear.disabled = !strokes.length;
  }

  function done() {
    stroke = null;
    show();
    changed(strokes, options);
  }

  function begin(point) {
    stroke = { points: [point], width: PENS[pen] * (rubber ? RUBBER : 1), erase: rubber };
    strokes.push(stroke);
    show();
  }

  function extend(point) {
    const [x, y] = stroke.points.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) < 0.003) return;
    stroke.points.push(point);
    show();
  }

  const where = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || stroke) return;
    canvas.setPointerCapture(event.pointerId);
    shown = false;
    begin(where(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!stroke || !canvas.hasPointerCapture(event.pointerId)) return;
    const every = event.getCoalescedEvents?.() ?? [];
    for (const one of every.length ? every : [event]) extend(where(one));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => stroke && !shown && done());

  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const way = ways[event.key];
    if (way) {
      const stride = event.shiftKey ? LONG : STRIDE;
      cursor = cursor.map((share, axis) => Math.min(Math.max(share + way[axis] * stride, 0), 1));
      shown = true;
      if (stroke) extend(cursor);
      show();
    } else if (event.key === " ") {
      shown = true;
      if (stroke) done();
      else begin(cursor);
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      back();
    } else return;
    event.preventDefault();
  });
  canvas.addEventListener("blur", () => {
    if (shown && stroke) done();
    shown = false;
    show();
  });

  function back() {
    strokes.pop();
    done();
  }

  const undo = button("Undo", back, { icon: "undo", bare: true });
  const clear = button(
    "Clear",
    () => {
      strokes.length = 0;
      done();
      canvas.focus();
    },
    { icon: "bin", bare: true },
  );
  const eraser = button(
    "Rubber",
    () => {
      rubber = !rubber;
      eraser.setAttribute("aria-pressed", rubber);
    },
    { icon: "erase", bare: true, "aria-pressed": "false" },
  );
  const group = uid();
  const pens = Object.keys(PENS).map((width) =>
    el(
      "label",
      { class: `pen ${width}`, title: `${width} pen` },
      el("input", {
        type: "radio",
        name: group,
        checked: width === pen,
        "aria-label": `${width} pen`,
        onchange: () => {
          pen = width;
        },
      }),
      el("span"),
    ),
  );
  const switched = (key) => (on) => {
    options[key] = on;
    done();
  };
  const switches =
    inverted === null
      ? null
      : el(
          "div",
          { class: "switches" },
          tick("trim to the drawing", options.trim, switched("trim")),
          tick("white on black", options.inverted, switched("inverted")),
        );

  show();
  return el(
    "div",
    { class: "drawing" },
    el("div", { class: "frame" }, canvas, strokes.length ? null : hint(canvas)),
    el("p", { id: help, class: "unseen" }, "Arrow keys move, Shift for longer steps; space puts the pen down and up."),
    el(
      "div",
      { class: "tools" },
      el("div", { class: "pens", role: "group", "aria-label": "Pen" }, pens),
      eraser,
      undo,
      clear,
      preview,
    ),
    switches,
  );
}

/** "Draw here", until something is. */
function hint(canvas) {
  const words = el("span", { class: "hint", "aria-hidden": "true" }, icon("draw"), "Draw here");
  for (const kind of ["pointerdown", "keydown"]) {
    canvas.addEventListener(kind, (event) => {
      if (event.key !== "Tab") words.remove();
    });
  }
  return words;
}
