// One value of an item as something to see, read or hear.

import { itemOf, mediaPath, mediaSource } from "./api.js";
import { el } from "./dom.js";

/** A value as an element: a picture, words, a player; null where the index holds nothing to show of it. */
export function valueOf(shown, { id, modality, alt }) {
  const [kind] = (shown.type ?? "").split("/");
  if (kind === "image" || kind === "audio") {
    const path = shown.media ?? mediaPath(id, modality, shown.place);
    return kind === "image" ? picture(path, alt) : player(path, alt);
  }
  return shown.text ? el("p", { class: "words", dir: "auto" }, shown.text) : null;
}

function picture(path, alt) {
  const image = el("img", { alt, loading: "lazy", decoding: "async" });
  const free = () => {
    if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  };
  image.addEventListener("load", () => {
    fit(image);
    free();
  });
  image.addEventListener("error", () =>
    image.replaceWith(el("p", { class: "nothing" }, "this picture cannot be shown")),
  );
  mediaSource(path).then(
    (source) => {
      image.src = source;
    },
    () => image.dispatchEvent(new Event("error")),
  );
  return image;
}

/** Small pictures (icons, glyphs) are shown whole, with room around them, where others fill their tile. */
function fit(image) {
  if (Math.max(image.naturalWidth, image.naturalHeight) <= 96) image.classList.add("small");
}

function player(path, alt) {
  const audio = el("audio", { controls: true, preload: "none", "aria-label": alt });
  mediaSource(path).then(
    (source) => {
      audio.src = source;
    },
    () => {},
  );
  return audio;
}

/** What an item or a hit is called: its column of that meaning, else its first of words, its label, or its id. */
export function nameOf({ id, label, columns }, index) {
  const worded = Object.keys(index.columns).filter((name) => index.columns[name] === "text" && columns?.[name]);
  const column = worded.find((name) => /^(name|title)$/i.test(name)) ?? worded[0];
  return column ? String(columns[column]) : (label ?? id);
}

/** The value that best stands for an item: of the wanted modality, else a picture, else words, else a sound. */
export function faceOf(item, wanted = null) {
  const every = Object.entries(item.values).flatMap(([modality, values]) =>
    values.slice(0, 1).map((shown) => ({ modality, shown })),
  );
  const starts = (type) => every.find(({ shown }) => shown.type?.startsWith(type));
  const has = ({ modality, shown }) => modality === wanted && (shown.text || shown.type);
  return every.find(has) ?? starts("image") ?? every.find(({ shown }) => shown.text) ?? starts("audio") ?? null;
}

/** An item's face as an element, loaded while a quiet place is kept for it. */
export function loadedFace(id, index, wanted = null) {
  const place = el("div", { class: "face" });
  itemOf(id).then(
    (item) => {
      const face = faceOf(item, wanted);
      const node =
        face && valueOf(face.shown, { id, modality: face.modality, alt: `${face.modality} of ${nameOf(item, index)}` });
      place.replaceChildren(node ?? el("p", { class: "nothing" }, nameOf(item, index)));
    },
    () => place.replaceChildren(el("p", { class: "nothing" }, id)),
  );
  return place;
}

/** What the index's pictures look like, from a few of its items: drawings (grey, on even ground), of which ink. */
export async function looksOf(items, modality) {
  const paths = items.flatMap((item) =>
    (item.values[modality] ?? [])
      .slice(0, 1)
      .filter((shown) => shown.type?.startsWith("image/"))
      .map((shown) => mediaPath(item.id, modality, shown.place)),
  );
  const looks = (await Promise.all(paths.slice(0, 6).map((path) => lookOf(path).catch(() => null)))).filter(Boolean);
  const most = (key) => looks.filter((look) => look[key]).length > looks.length / 2;
  return { drawn: most("drawn"), inverted: most("drawn") && most("inverted") };
}

async function lookOf(path) {
  const image = new Image();
  const source = await mediaSource(path);
  image.src = source;
  await image.decode();
  const side = 24;
  const context = Object.assign(document.createElement("canvas"), { width: side, height: side }).getContext("2d");
  context.drawImage(image, 0, 0, side, side);
  if (source.startsWith("blob:")) URL.revokeObjectURL(source);
  const { data } = context.getImageData(0, 0, side, side);
  const pixels = Array.from({ length: side * side }, (_, i) => data.slice(4 * i, 4 * i + 3));
  const grey = pixels.every((pixel) => Math.max(...pixel) - Math.min(...pixel) < 24);
  const edge = pixels.filter((_, i) => i < side || i % side === 0).map(([red]) => red);
  const even = (from, to) => edge.filter((level) => level >= from && level <= to).length > 0.75 * edge.length;
  return { drawn: grey && (even(230, 255) || even(0, 25)), inverted: even(0, 25) };
}
