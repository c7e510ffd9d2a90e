// The page: reads what the index holds, keeps the query's cards, asks, and shows what was found.

import { Problem, forgetItems, get, itemOf, post, whenKeyIsMissing } from "./api.js";
import { card, focusOn } from "./cards.js";
import { askKey, openItem } from "./dialogs.js";
import { debounced, el } from "./dom.js";
import { filters } from "./filters.js";
import { addButtons, optionFields, targetField } from "./options.js";
import { firstTiles, layoutOf, message, skeletons, tilesOf } from "./results.js";
import { looksOf } from "./shown.js";
import { STEP, fromHash, isSaid, leaderOf, newPart, toHash, toRequest } from "./state.js";
import { takeFiles } from "./taking.js";

const at = (id) => document.getElementById(id);
const cards = at("cards");
const hits = at("hits");
const typed = debounced(search, 350);
const page = {
  index: null,
  looks: {},
  like,
  removed,
  open: (id) => openItem(id, page),
  changed: () => {
    fresh();
    regroup();
    typed();
  },
  now: () => {
    fresh();
    regroup();
    return typed.now();
  },
  entered: async () => {
    await page.now();
    near();
  },
};
let state = null;
let first = []; // a few items, to be seen before anything is asked
let running = null; // the newest search; those before it are given up

async function start() {
  whenKeyIsMissing(askKey);
  hits.replaceChildren(...skeletons(8));
  const index = (page.index = await get("index"));
  document.title = `Search ${index.name}`;
  at("name").textContent = index.name;
  at("what").replaceChildren(...aboutOf(index));
  const read = fromHash(location.hash, index);
  state = read.state;
  first = (await get("items", { limit: 12 })).items;
  const pictures = Object.keys(index.modalities).filter(
    (name) => index.modalities[name].kind === "image" && index.modalities[name].queryable,
  );
  await Promise.all(
    pictures.map(async (name) => {
      page.looks[name] = await looksOf(first, name);
    }),
  );
  // Where the pictures are drawings, to draw one is the first thing to try.
  const drawn = pictures.includes(state.target) && page.looks[state.target].drawn ? state.target : null;
  if (drawn && location.hash.length < 2) state.parts.push(newPart(drawn));
  build();
  trouble(read.notes.join(" "));
  await search();
  if (!isSaid(state.parts[0] ?? {}) && matchMedia("(pointer: fine)").matches) cards.querySelector("textarea")?.focus();
}

/** What the index holds, in a sentence, and what to do with it. */
function aboutOf({ items, modalities }) {
  const names = Object.keys(modalities);
  const seen = new Intl.ListFormat("en", { type: "conjunction" }).format(names);
  const several = names.filter((name) => modalities[name].queryable).length > 1;
  return [
    `${items.toLocaleString("en")} items, seen as ${seen}. `,
    el("span", { class: "more" }, several ? "Ask with any of them, or several at once." : ""),
  ];
}

function build() {
  const { index } = page;
  for (const part of state.parts) cards.append(card(part, page));
  at("add").replaceChildren(...addButtons(index, (modality) => add(newPart(modality))));
  at("target").replaceChildren(
    targetField(index, state.target, (target) => {
      state.target = target;
      page.now();
    }),
  );
  const filter = at("filter");
  filter.append(
    filters(state.where, {
      index,
      changed: (where) => {
        state.where = where;
        page.now();
      },
    }),
  );
  filter.open = Boolean(state.where);
  filter.hidden = !Object.keys(index.columns).length;
  at("options").append(optionFields(index, state, page.now));
  at("search").disabled = false;
  counted();
}

function add(part, place = null) {
  state.parts.splice(place ?? state.parts.length, 0, part);
  const element = card(part, page);
  cards.insertBefore(element, place === null ? null : cards.children[place]);
  counted();
  focusOn(element);
  return element;
}

function removed(element) {
  const next = element.nextElementSibling ?? element.previousElementSibling;
  state.parts.splice(state.parts.indexOf(element.asks), 1);
  element.remove();
  counted();
  if (next) focusOn(next);
  else at("add").querySelector("button")?.focus();
  if (isSaid(element.asks)) page.now();
}

/** Cards of one modality and sign are one part, of which the first has the weight. */
function regroup() {
  for (const element of cards.children) element.join(leaderOf(state.parts, element.asks) !== element.asks);
}

function counted() {
  regroup();
  const full = state.parts.length >= page.index.limits.parts;
  for (const button of at("add").querySelectorAll("button")) button.disabled = full;
}

/** Asks with a stored item: by one of its modalities, the target's where it has that. */
async function like(id, minus, modality = null) {
  try {
    const name = modality ?? (await bestOf(id));
    const known = [...cards.children].find(
      ({ asks }) => asks.items?.[0] === id && asks.modality === name && asks.minus === minus,
    );
    if (known) return focusOn(known);
    add(newPart(name, { items: [id], minus, weight: minus ? 0.5 : 1 }), minus ? null : 0);
    page.now();
  } catch (error) {
    trouble(error.message);
  }
}

async function bestOf(id) {
  const { modalities } = page.index;
  if (modalities[state.target]?.per === "label") return state.target;
  const { values } = await itemOf(id);
  const names = Object.keys(modalities).filter((name) => modalities[name].per === "item" && values[name]?.length);
  if (!names.length) throw new Problem("This item has no value to ask with.");
  return names.includes(state.target) ? state.target : names[0];
}

/** A changed query starts again at its first hits. */
function fresh() {
  state.k = STEP;
}

async function search(more = false) {
  running?.abort();
  const asked = toRequest(state);
  history.replaceState(null, "", asked || state.where ? toHash(state) : location.pathname + location.search);
  at("link").hidden = !asked;
  if (!asked) return showFirst();
  const mine = (running = new AbortController());
  hits.setAttribute("aria-busy", "true");
  if (!hits.querySelector(".tile:not(.skeleton)")) hits.replaceChildren(...skeletons(8));
  try {
    // Items that are asked with are not news: ask for as many more, and leave them out.
    const own = ownItems();
    const request = { ...asked.request, k: Math.min(state.k + own.size, page.index.limits.k) };
    const found = await post("search", request, asked.files, mine.signal);
    if (mine !== running) return;
    trouble("");
    show({ ...found, hits: found.hits.filter((hit) => !own.has(hit.id)).slice(0, state.k) }, more);
  } catch (error) {
    if (error.name === "AbortError" || mine !== running) return;
    trouble(error.message);
    at("status").textContent = "";
    hits.querySelectorAll(".skeleton").forEach((tile) => tile.remove());
  }
  hits.removeAttribute("aria-busy");
}

/** The items that the query is "like", where the target holds items. */
function ownItems() {
  const { modalities } = page.index;
  if (modalities[state.target]?.per === "label") return new Set();
  return new Set(
    state.parts
      .filter((part) => part.items && !part.minus && modalities[part.modality].per === "item")
      .flatMap((part) => part.items),
  );
}

function show(found, more) {
  const { index } = page;
  if (found.version !== index.version) {
    index.version = found.version;
    forgetItems();
  }
  const tiles = tilesOf(found.hits, found.target, page);
  const shown = more === true ? hits.children.length : 0;
  if (shown) hits.append(...tiles.slice(shown));
  else hits.replaceChildren(...tiles);
  hits.className = layoutOf(found.target, index);
  if (!tiles.length)
    hits.replaceChildren(
      message(state.where ? "Nothing found. The filter may leave too little." : "Nothing found.", "search"),
    );
  if (shown) hits.children[shown]?.querySelector("button, audio")?.focus();
  at("more").hidden = found.hits.length < state.k || state.k >= index.limits.k;
  const took = found.took_ms < 10 ? found.took_ms.toFixed(1) : Math.round(found.took_ms);
  const what = found.target === "item" ? "whole items" : `by ${found.target}`;
  const among = `${index.items.toLocaleString("en")} items`;
  const how = found.exact ? "exact" : "approximate";
  at("status").textContent = `${found.hits.length} nearest ${what} · ${took} ms · ${among} · ${how}`;
}

/** Before anything is asked: a few items to start from. */
function showFirst() {
  running = null;
  hits.removeAttribute("aria-busy");
  hits.className = "";
  hits.replaceChildren(...firstTiles(first, state.target, page));
  if (!first.length) hits.replaceChildren(message("This index is empty. Add items to it, and they are found here."));
  at("more").hidden = true;
  at("status").textContent = first.length ? "A few of the items. Ask for something, or start from one of these." : "";
}

/** Where the results are below the screen's end, goes there. */
function near() {
  if (at("results").getBoundingClientRect().top < innerHeight - 120) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  at("results").scrollIntoView({ behavior: still ? "auto" : "smooth" });
}

function trouble(words) {
  at("trouble").textContent = words;
}

at("search").addEventListener("click", () => {
  const empty = [...cards.children].find(({ asks }) => !isSaid(asks));
  if (toRequest(state)) page.entered();
  else if (empty) focusOn(empty);
  else at("add").querySelector("button")?.focus();
});
at("more").addEventListener("click", () => {
  state.k = Math.min(state.k + STEP, page.index.limits.k);
  search(true);
});
at("link").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    at("link").textContent = "Copied";
  } catch {
    at("link").textContent = "Copy the address above";
  }
  setTimeout(() => {
    at("link").textContent = "Copy link";
  }, 2000);
});
takeFiles(
  cards,
  (kind) => {
    const name = Object.keys(page.index?.modalities ?? {}).find(
      (one) => page.index.modalities[one].kind === kind && page.index.modalities[one].queryable,
    );
    return name ? add(newPart(name)) : null;
  },
  trouble,
);
addEventListener("hashchange", () => location.reload());

start().catch((error) => {
  hits.replaceChildren();
  trouble(error.message);
});
