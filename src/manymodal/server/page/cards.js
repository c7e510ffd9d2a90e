// The query as cards, one for each part: what it asks with, how much it counts, and whether hits should be with it.

import { itemOf } from "./api.js";
import { button, choice, el, field, icon } from "./dom.js";
import { pictureInput } from "./picture.js";
import { loadedFace, nameOf } from "./shown.js";
import { soundInput } from "./sound.js";
import { USUAL, isSaid } from "./state.js";
import { numbersInput, rowInput, wordsInput } from "./written.js";

// Each kind's input, and how it is asked with, in words.
const INPUTS = {
  text: [wordsInput, "words"],
  image: [pictureInput, "drop, paste or draw"],
  audio: [soundInput, "record or drop"],
  table: [rowInput, "fill in"],
  vector: [numbersInput, "numbers"],
  series: [numbersInput, "numbers"],
};

/** How a modality is asked with, in words; nothing for a kind that this page has no input for. */
export const hintOf = ({ kind, width }) => (kind === "series" && width === 3 ? "draw" : INPUTS[kind]?.[1]);

/**
 * The card of a part.
 *
 * `page` holds the index and what a card tells: changed() soon, now() at once, removed(card).
 * The card's `asks` is the part, `take(file)` its way to take a dropped file, `takes` the start of the types it takes;
 * `join(true)` says that an earlier card has its weight.
 */
export function card(part, page) {
  const { index } = page;
  const modality = index.modalities[part.modality];
  const trouble = el("p", { class: "trouble", role: "alert" });
  const element = el("li", { class: "card" });
  element.asks = part;
  element.join = (joined) => {
    element.classList.toggle("joined", joined);
    together.hidden = !joined;
  };

  const say = (words) => {
    trouble.textContent = words;
  };
  const changed = () => {
    note();
    page.changed();
  };
  const look = page.looks[part.modality] ?? { drawn: false, inverted: false };
  const tools = { changed, now: page.entered, trouble: say, limits: index.limits, modality, look };
  const input = part.items ? storedInput(part, page, changed) : INPUTS[modality.kind][0](part, part.modality, tools);
  element.take = input.take;
  element.takes = input.takes;

  const title = el("h3");
  const notes = el("p", { class: "note" });
  const together = el("p", { class: "note", hidden: true }, "Counts together with the one before, as their mean.");
  function note() {
    notes.textContent = part.lost
      ? "The link could not carry what was here: choose it again."
      : part.file
        ? "A link to this search cannot carry it."
        : "";
    title.textContent = part.items
      ? part.minus
        ? "Unlike this"
        : "Like this"
      : `${part.minus ? "without " : ""}${part.modality}`;
    element.classList.toggle("minus", part.minus);
    element.classList.toggle("off", part.weight === 0);
  }

  const shown = el("output", {});
  const slider = el("input", {
    type: "range",
    min: "0",
    max: "2",
    step: "0.1",
    "aria-label": `Weight of ${part.modality}`,
  });
  const weigh = () => {
    slider.value = part.weight;
    shown.textContent = part.weight === 0 ? "off" : `${part.minus ? "−" : ""}${part.weight.toFixed(1)}`;
    slider.setAttribute("aria-valuetext", shown.textContent);
    note();
  };
  slider.addEventListener("input", () => {
    part.weight = slider.valueAsNumber;
    weigh();
    page.changed();
  });

  const without = button(
    "without",
    () => {
      const usual = part.minus ? USUAL.without : USUAL.with;
      part.minus = !part.minus;
      if (part.weight === usual) part.weight = part.minus ? USUAL.without : USUAL.with;
      without.setAttribute("aria-pressed", part.minus);
      weigh();
      if (isSaid(part)) page.now();
    },
    {
      icon: "minus",
      class: "without",
      "aria-pressed": String(part.minus),
      title: "Hits should be without this",
      "aria-label": `without this ${part.modality}`,
    },
  );

  weigh();
  element.append(
    el(
      "div",
      { class: "head" },
      icon(part.items ? "item" : modality.kind),
      title,
      without,
      button(`Remove ${part.modality}`, () => page.removed(element), { icon: "close", bare: true, class: "remove" }),
    ),
    input.element,
    trouble,
    notes,
    together,
    el("div", { class: "weight" }, el("span", { "aria-hidden": "true" }, "weight"), slider, shown),
  );
  return element;
}

/** Puts the hands where the card is filled in. */
export function focusOn(element) {
  (
    element.querySelector("textarea, canvas, .cells input, .cells select, .well button, select") ??
    element.querySelector("button")
  )?.focus();
}

/** An item of the index that is asked with: its face, and which of its modalities count. */
function storedInput(part, page, changed) {
  const { index } = page;
  const [id] = part.items;
  const words = el("strong", {}, id);
  const element = el("div", { class: "stored" });
  if (index.modalities[part.modality].per === "label") {
    element.append(el("div", {}, el("p", {}, part.modality, " of ", words)));
    return { element };
  }
  const chosen = choice([[part.modality, part.modality]], part.modality, (name) => {
    part.modality = name;
    changed();
  });
  itemOf(id).then(
    (item) => {
      words.textContent = nameOf(item, index);
      const names = Object.keys(index.modalities).filter((name) => item.values[name]?.length && name !== part.modality);
      chosen.append(...names.map((name) => el("option", { value: name }, name)));
    },
    () => {},
  );
  element.append(loadedFace(id, index, part.modality), el("div", {}, el("p", {}, words), field("by its", chosen)));
  return { element };
}
