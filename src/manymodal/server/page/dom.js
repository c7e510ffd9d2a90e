// Elements and icons. Whatever an item or a user says goes in as text, never as markup.

const AS_PROPERTY = new Set(["value", "checked", "disabled", "hidden", "selected", "indeterminate", "muted"]);

/** An element: attributes (`onclick` and the like listen, null and false are left out) and children (text or nodes). */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (AS_PROPERTY.has(key)) node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

let last = 0;

/** An id of its own, to tie a label to its field. */
export const uid = () => `f${++last}`;

/** A label over its field, and what belongs to the field. */
export function field(words, input, ...rest) {
  input.id ||= uid();
  return el("p", { class: "field" }, el("label", { for: input.id }, words), input, rest);
}

/** A box to tick, with its words behind it. */
export function tick(words, checked, changed) {
  const box = el("input", { type: "checkbox", checked, onchange: () => changed(box.checked) });
  return el("label", { class: "tick" }, box, el("span", {}, words));
}

/** A select of [value, words] pairs. */
export function choice(pairs, chosen, changed, attributes = {}) {
  const options = pairs.map(([value, words]) => el("option", { value, selected: value === chosen }, words));
  return el("select", { ...attributes, onchange: (event) => changed(event.target.value) }, options);
}

/** A button; with an icon alone, its words are its name. */
export function button(words, onclick, { icon: name = null, bare = false, ...attributes } = {}) {
  return el(
    "button",
    { type: "button", onclick, ...(bare ? { "aria-label": words, title: words } : {}), ...attributes },
    name ? icon(name) : null,
    bare ? null : words,
  );
}

/** A button that opens the file chooser. */
export function chooser(words, accept, taken, attributes = {}) {
  const { capture, ...rest } = attributes;
  const input = el("input", {
    type: "file",
    accept,
    capture,
    hidden: true,
    tabindex: "-1",
    "aria-label": words,
    onchange: () => {
      if (input.files[0]) taken(input.files[0]);
      input.value = "";
    },
  });
  return el(
    "span",
    { class: "chooser" },
    input,
    button(words, () => input.click(), rest),
  );
}

const PATHS = {
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01",
  text: "M5 6h14M5 12h14M5 18h8",
  audio: "M12 4v11M12 4a2 2 0 0 1 2 2v5a2 2 0 0 1-4 0V6a2 2 0 0 1 2-2M6.5 11a5.5 5.5 0 0 0 11 0M12 16.5V20M9 20h6",
  table: "M4 5h16v14H4zM4 10h16M4 14.5h16M10 5v14",
  vector: "M5 19V9M10 19V5M15 19v-7M20 19V8",
  series: "M3 14c2 0 2-8 4.5-8s2.5 12 5 12 2.5-9 4.5-9 2 4 4 4",
  item: "M4 7l8-4 8 4v10l-8 4-8-4zM4 7l8 4 8-4M12 11v10",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M15.5 15.5 20 20",
  close: "M6 6l12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  draw: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  erase: "M4 16 13 7l6 6-6 6H7zM9 11l6 6M11 20h9",
  undo: "M8 5 4 9l4 4M4 9h10a5 5 0 0 1 0 10h-3",
  bin: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13",
  file: "M12 16V5M7.5 9.5 12 5l4.5 4.5M5 19h14",
  camera: "M4 8h4l1.5-3h5L16 8h4v11H4zM12 10a3 3 0 1 0 0 6 3 3 0 0 0 0-6",
  stop: "M7 7h10v10H7z",
  filter: "M4 6h16M7 12h10M10 18h4",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4.2 4.2 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4.2 4.2 0 0 0 6 6l1-1",
};

/** A picture of a few lines, in the colour of the words around it; nothing to a screen reader. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  for (const [key, value] of [
    ["viewBox", "0 0 24 24"],
    ["class", "icon"],
    ["aria-hidden", "true"],
    ["focusable", "false"],
  ]) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name] || PATHS.item);
  svg.append(path);
  return svg;
}

/** Runs the last call once `wait` ms have passed without another; `now` runs it at once. */
export function debounced(run, wait) {
  let timer = 0;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(run, wait);
  };
  later.now = () => {
    clearTimeout(timer);
    return run();
  };
  return later;
}
