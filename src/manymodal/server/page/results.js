// What was found: a grid in the target's kind, each hit with its score and what each part had to do with it.

import { button, el, icon } from "./dom.js";
import { loadedFace, nameOf, valueOf } from "./shown.js";

/**
 * The grid of hits.
 *
 * `page` holds the index and what a tile tells: open(id), like(id, minus). `top` is the largest similarity of any part,
 * which fills a bar.
 */
export function tilesOf(hits, target, page) {
  const top = Math.max(...hits.flatMap((hit) => Object.values(hit.parts).map(Math.abs)), 1e-6);
  return hits.map((hit, place) => tile(hit, target, page, { top, place }));
}

/** The class of a grid: pictures are narrow and high, words and players wide and low. */
export function layoutOf(target, index) {
  const kind = index.modalities[target]?.kind;
  return ["text", "audio", "table"].includes(kind) ? "wide" : "";
}

function tile(hit, target, page, { top, place }) {
  const perLabel = page.index.modalities[target]?.per === "label";
  const name = nameOf(hit, page.index);
  const value = hit.shown && valueOf(hit.shown, { id: hit.id, modality: target, alt: `${target} of ${name}` });
  const face = value ?? (perLabel ? el("p", { class: "words" }, hit.id) : loadedFace(hit.id, page.index, target));
  const heard = face.matches("audio");
  // A player is pressed itself; anything else opens the item.
  const shown =
    perLabel || heard
      ? el("div", { class: "face" }, face)
      : el(
          "button",
          { type: "button", class: "face", "aria-label": `Open ${name}`, onclick: () => page.open(hit.id) },
          face,
        );
  return el(
    "li",
    { class: "tile", "data-id": hit.id },
    shown,
    el(
      "div",
      { class: "about" },
      el("h3", { title: name }, perLabel || !heard ? name : button(name, () => page.open(hit.id), { class: "link" })),
      el("span", { class: "score", title: "Similarity to the whole query" }, hit.score.toFixed(2)),
    ),
    why(hit.parts, top),
    el(
      "div",
      { class: "acts" },
      button("More like this", () => page.like(hit.id, false), { icon: "plus", "aria-label": `More like ${name}` }),
      button("Less like this", () => page.like(hit.id, true), {
        icon: "minus",
        bare: true,
        "aria-label": `Less like ${name}`,
      }),
    ),
    el("span", { class: "unseen" }, `hit ${place + 1}`),
  );
}

/** The similarity to each part: why this is a hit. */
function why(parts, top) {
  const names = Object.keys(parts);
  if (names.length < 2) return null;
  return el(
    "dl",
    { class: "why" },
    names.map((name) => {
      const minus = name.startsWith("-");
      const bar = el("span", { class: minus ? "bar minus" : "bar", "aria-hidden": "true" }, el("span"));
      bar.firstChild.style.setProperty("width", `${(100 * Math.max(parts[name], 0)) / top}%`);
      return el(
        "div",
        {},
        el("dt", {}, minus ? `− ${name.slice(1)}` : name),
        el("dd", {}, bar, parts[name].toFixed(2)),
      );
    }),
  );
}

/** Quiet places where tiles are about to be. */
export const skeletons = (count) =>
  Array.from({ length: count }, () =>
    el(
      "li",
      { class: "tile skeleton", "aria-hidden": "true" },
      el("div", { class: "face" }),
      el("div", { class: "about" }),
    ),
  );

/** Tiles of items that nothing was asked about. */
export function firstTiles(items, target, page) {
  return items.map((item) => {
    const name = nameOf(item, page.index);
    return el(
      "li",
      { class: "tile", "data-id": item.id },
      el(
        "button",
        { type: "button", class: "face", "aria-label": `Open ${name}`, onclick: () => page.open(item.id) },
        loadedFace(item.id, page.index, target),
      ),
      el("div", { class: "about" }, el("h3", { title: name }, name)),
      el(
        "div",
        { class: "acts" },
        button("More like this", () => page.like(item.id, false), { icon: "plus", "aria-label": `More like ${name}` }),
      ),
    );
  });
}

/** What is said where there are no tiles. */
export const message = (words, kind = "item") => el("div", { class: "message" }, icon(kind), el("p", {}, words));
