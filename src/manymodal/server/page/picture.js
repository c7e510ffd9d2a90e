// The input for pictures: drop, paste, choose, take or draw one.

import { drawing } from "./canvas.js";
import { button, chooser, el } from "./dom.js";
import { toPicture } from "./ink.js";

/** `look` says what the index's own pictures look like: {drawn, inverted}; of drawings, to draw is offered first. */
export function pictureInput(part, name, { changed, trouble, look }) {
  const element = el("div", { class: "picture" });
  const strokes = [];
  let source = null;
  let turn = 0; // the newest drawing counts, whichever is encoded first

  function take(file) {
    if (!file.type.startsWith("image/")) return trouble(`“${file.name}” is not a picture.`);
    turn += 1;
    strokes.length = 0;
    forget();
    source = URL.createObjectURL(file);
    set(file);
    showPicture();
  }

  function set(file) {
    part.file = file;
    part.lost = false;
    trouble("");
    changed();
  }

  function forget() {
    if (source) URL.revokeObjectURL(source);
    source = null;
  }

  async function drawn(_, options) {
    const mine = ++turn;
    const picture = strokes.some((stroke) => !stroke.erase) ? await toPicture(strokes, options) : null;
    if (mine === turn) set(picture);
  }

  function empty() {
    turn += 1;
    forget();
    set(null);
    show();
    element.querySelector("button, canvas").focus();
  }

  const choose = (words) => chooser(words, "image/*", take, { icon: "file" });
  const camera = () =>
    matchMedia("(pointer: coarse)").matches
      ? chooser("Take a photo", "image/*", take, { icon: "camera", capture: "environment" })
      : null;

  function showEmpty() {
    element.replaceChildren(
      el(
        "div",
        { class: "well" },
        el("p", { class: "hint" }, "Drop or paste a picture, or"),
        el(
          "div",
          { class: "row" },
          choose("Choose"),
          camera(),
          button(
            "Draw",
            () => {
              showDrawing();
              element.querySelector("canvas").focus();
            },
            { icon: "draw" },
          ),
        ),
      ),
    );
  }

  function showPicture() {
    element.replaceChildren(
      el(
        "div",
        { class: "well" },
        el("img", {
          src: source,
          alt: `The picture for ${name}`,
          onerror: () => {
            empty();
            trouble("This browser cannot show that file as a picture. Try JPEG, PNG or WebP.");
          },
        }),
        button("Another one", empty, { class: "quiet" }),
      ),
    );
  }

  function showDrawing() {
    element.replaceChildren(
      drawing(name, drawn, { inverted: look.inverted, strokes }),
      el("div", { class: "row" }, choose("A picture instead"), camera()),
    );
  }

  const show = () => (look.drawn ? showDrawing() : showEmpty());

  show();
  return { element, take, takes: "image/" };
}
