// The inputs that are written: words, the cells of a row, numbers, and the pen's way of a small drawing.

import { drawing } from "./canvas.js";
import { choice, chooser, el, field, uid } from "./dom.js";
import { toPath } from "./ink.js";

/** Words. Enter searches, Shift with Enter is a new line. */
export function wordsInput(part, name, { changed, now, limits }) {
  const box = el("textarea", {
    rows: "2",
    maxlength: limits.text_characters,
    "aria-label": name,
    placeholder: "Say what it is …",
    enterkeyhint: "search",
    value: part.value ?? "",
  });
  box.addEventListener("input", () => {
    part.value = box.value.trim() || undefined;
    changed();
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    now();
  });
  return { element: box };
}

const SEVERAL = 40; // categories that are still a list to look through; more are found by typing

/** A row: what is left empty is not said. */
export function rowInput(part, name, { changed, now, modality }) {
  const said = { ...part.value };
  const say = (column, value) => {
    if (value === "" || value === null) delete said[column];
    else said[column] = value;
    part.value = Object.keys(said).length ? { ...said } : undefined;
    changed();
  };
  const fields = Object.entries(modality.cells).map(([column, cell]) =>
    field(column, ...cellInput(cell, said[column], (value) => say(column, value))),
  );
  const element = el("div", { class: "cells", role: "group", "aria-label": name }, fields);
  element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("input")) now();
  });
  return { element };
}

/** The field of a column, and what it needs beside it. */
function cellInput({ kind, categories }, value, say) {
  if (kind === "number") {
    const input = el("input", { type: "number", step: "any", placeholder: "any", value: value ?? "" });
    input.addEventListener("input", () => say(input.value === "" ? null : input.valueAsNumber));
    return [input];
  }
  if (kind === "date") {
    return [el("input", { type: "date", value: value ?? "", oninput: (event) => say(event.target.value) })];
  }
  if (categories.length && categories.length <= SEVERAL) {
    const words = (category) => ({ true: "yes", false: "no" })[category] ?? category; // truths come as such
    const pairs = [["", "any"], ...categories.map((category) => [String(category), words(category)])];
    return [
      choice(pairs, String(value ?? ""), (word) =>
        say(categories.find((category) => String(category) === word) ?? null),
      ),
    ];
  }
  const list = el(
    "datalist",
    { id: uid() },
    categories.map((word) => el("option", { value: word })),
  );
  return [
    el("input", { list: list.id, placeholder: "any", value: value ?? "", oninput: (event) => say(event.target.value) }),
    list,
  ];
}

/** Numbers: a vector on one line, or a series with a row for each moment; JSON, or between commas or blanks. */
export function numbersInput(part, name, { changed, trouble, modality }) {
  const series = modality.kind === "series";
  const { width } = modality;
  const said = part.value === undefined ? "" : JSON.stringify(part.value);
  const box = el("textarea", {
    rows: "3",
    spellcheck: "false",
    class: "numbers",
    "aria-label": name,
    value: said,
    placeholder: series ? `${width ?? "some"} numbers a line, a line for each moment` : `${width ?? "some"} numbers`,
  });
  const read = () => {
    part.value = undefined;
    try {
      if (box.value.trim()) part.value = parse(box.value, series, width);
      trouble("");
    } catch (error) {
      trouble(error.message);
    }
    changed();
  };
  box.addEventListener("input", read);
  const open = async (file) => {
    box.value = (await file.text()).trim();
    read();
  };
  const file = el(
    "div",
    { class: "row" },
    chooser("From a file", ".csv,.json,.txt,text/csv,application/json", open, { icon: "file" }),
  );
  const numbers = el("div", {}, box, file);
  // Three channels may be a pen's way (x, y, and whether it was down): that can be drawn.
  if (!series || width !== 3 || said) return { element: numbers };
  const drawn = (strokes) => {
    part.value = strokes.length ? toPath(strokes) : undefined;
    changed();
  };
  return {
    element: el(
      "div",
      {},
      drawing(name, drawn, { inverted: null }),
      el("details", {}, el("summary", {}, "Numbers instead"), numbers),
    ),
  };
}

/** The numbers in a text; a sentence for the user where they are not what is wanted. */
export function parse(text, series, width) {
  let rows;
  try {
    rows = JSON.parse(text);
  } catch {
    const lines = text
      .trim()
      .split(/\n+/)
      .map((line) =>
        line
          .trim()
          .split(/[\s,;]+/)
          .filter(Boolean)
          .map(Number),
      );
    rows = series ? lines : lines.flat();
  }
  const list = series ? rows : [rows];
  const numeric = Array.isArray(list) && list.every((row) => Array.isArray(row) && row.every(Number.isFinite));
  if (!numeric)
    throw new Error(
      series ? "Write a line of numbers for each moment." : "Write numbers, separated by commas or blanks.",
    );
  const odd = list.find((row) => width !== null && row.length !== width);
  if (odd)
    throw new Error(`${series ? "A line has" : "These are"} ${odd.length} numbers; this modality takes ${width}.`);
  return rows;
}
