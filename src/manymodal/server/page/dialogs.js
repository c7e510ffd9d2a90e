// What opens above the page: an item with all that the index holds of it, and the question for a key.

import { itemOf } from "./api.js";
import { button, el, field } from "./dom.js";
import { nameOf, valueOf } from "./shown.js";

function open(dialog) {
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.showModal();
}

/** An item: its columns, and its values in each modality with a way to ask with them. `like(id, minus, modality)`. */
export async function openItem(id, { index, like }) {
  const title = el("h2", {}, id);
  const body = el("div", { class: "body", "aria-busy": "true" });
  const dialog = el(
    "dialog",
    { class: "item", "aria-label": `Item ${id}` },
    el(
      "header",
      {},
      title,
      button("Close", () => dialog.close(), { icon: "close", bare: true }),
    ),
    body,
  );
  open(dialog);
  try {
    const item = await itemOf(id);
    title.textContent = nameOf(item, index);
    const ask = (name, minus) => {
      dialog.close();
      like(id, minus, name);
    };
    const modalities = Object.keys(index.modalities).filter((name) => item.values[name]?.length);
    body.replaceChildren(
      ...modalities.map((name) => section(item, name, nameOf(item, index), ask)),
      rowsOf({ id: item.id, ...(item.label === null ? {} : { label: item.label }), ...item.columns }),
    );
  } catch (error) {
    body.replaceChildren(el("p", { class: "trouble", role: "alert" }, error.message));
  }
  body.removeAttribute("aria-busy");
}

function section(item, name, called, ask) {
  const shown = item.values[name].map((value) =>
    valueOf(value, { id: item.id, modality: name, alt: `${name} of ${called}` }),
  );
  const seen = shown.filter(Boolean);
  const count = item.values[name].length;
  return el(
    "section",
    { class: "modality" },
    el(
      "div",
      { class: "head" },
      el("h3", {}, name),
      button("Like this", () => ask(name, false), { icon: "plus", "aria-label": `Like this ${name}` }),
      button("Without", () => ask(name, true), { icon: "minus", "aria-label": `Without this ${name}` }),
    ),
    seen.length
      ? el("div", { class: "values" }, seen)
      : el("p", { class: "nothing" }, count === 1 ? "one value, nothing to show" : `${count} values, nothing to show`),
  );
}

function rowsOf(columns) {
  const said = Object.entries(columns).filter(([, value]) => value !== null);
  return el(
    "dl",
    { class: "columns" },
    said.flatMap(([name, value]) => [
      el("dt", {}, name),
      el("dd", { dir: "auto" }, typeof value === "object" ? JSON.stringify(value) : String(value)),
    ]),
  );
}

const KEY = "[ -~]+"; // what a browser can send as one

/** Asks for the server's key; a promise of it, or of null. `wrong`: the one that there was did not open it. */
export function askKey(wrong) {
  return new Promise((done) => {
    const input = el("input", { type: "password", autocomplete: "off", required: true, spellcheck: "false", pattern: KEY, title: "Letters, digits and plain signs" });
    const form = el(
      "form",
      { method: "dialog" },
      el(
        "p",
        {},
        wrong
          ? "That key does not open this index. Another one?"
          : "This index is opened with a key. It stays in this tab only.",
      ),
      field("Key", input),
      el(
        "div",
        { class: "row" },
        el("button", { class: "main", value: "given" }, "Open"),
        button("Cancel", () => dialog.close(), { class: "quiet" }),
      ),
    );
    const dialog = el("dialog", { class: "key", "aria-label": "Key" }, form);
    open(dialog);
    dialog.addEventListener("close", () => done(dialog.returnValue === "given" && input.value ? input.value : null));
    input.focus();
  });
}
