// The filter: a condition in words of SQL, and a helper that writes it.

import { get } from "./api.js";
import { choice, debounced, el, field } from "./dom.js";

const COMPARED = [
  ["=", "is"],
  ["!=", "is not"],
  [">", "more than"],
  [">=", "at least"],
  ["<", "less than"],
  ["<=", "at most"],
];
const KNOWN = [
  ["is not null", "is known"],
  ["is null", "is not known"],
];
const OPERATORS = {
  text: [["=", "is"], ["!=", "is not"], ["like", "contains"], ["starts", "starts with"], ...KNOWN],
  number: [...COMPARED, ...KNOWN],
  date: [["=", "on"], [">", "after"], ["<", "before"], ...KNOWN],
  boolean: [["= true", "is true"], ["= false", "is false"], ...KNOWN],
  list: [["contains", "contains"], ...KNOWN],
};

const quoted = (text) => `'${text.replaceAll("'", "''")}'`;
// Names that mean something of their own in a condition: as columns they are quoted.
const SPOKEN = new Set(
  `all and any as asc between by case date desc distinct else end exists false from group having ilike in interval is
  join like limit not null offset on or order select set table then time timestamp true union using values when where
  with`.split(/\s+/),
);
const named = (column) =>
  /^[a-z_][a-z0-9_]*$/.test(column) && !SPOKEN.has(column) ? column : `"${column.replaceAll('"', '""')}"`;

/** A condition on one column, as the server reads it. */
export function condition(column, type, operator, value) {
  const name = named(column);
  if (operator === "like") return `${name} like ${quoted(`%${value}%`)}`;
  if (operator === "starts") return `${name} like ${quoted(`${value}%`)}`;
  if (operator === "contains") return `contains(${name}, ${quoted(value)})`;
  if (!COMPARED.some(([sign]) => sign === operator)) return `${name} ${operator}`;
  return `${name} ${operator} ${type === "number" ? Number(value) : quoted(value)}`;
}

/** The filter of the page; `changed(where)` runs for conditions that the server has understood, "" for none. */
export function filters(where, { index, changed }) {
  const box = el("textarea", {
    rows: "2",
    spellcheck: "false",
    value: where,
    maxlength: index.limits.where_characters,
    placeholder: example(index.columns),
  });
  const told = el("p", { class: "told", role: "status" });
  let turn = 0;

  async function check() {
    const mine = ++turn;
    const text = box.value.trim();
    if (!text) {
      tell("");
      return changed("");
    }
    try {
      const { total } = await get("items", { where: text, limit: 1 });
      if (mine !== turn) return;
      tell(`${total} of ${index.items} items`);
      changed(text);
    } catch (error) {
      if (mine === turn) tell(error.message, true);
    }
  }

  function tell(words, wrong = false) {
    told.textContent = words;
    told.classList.toggle("trouble", wrong);
    box.setAttribute("aria-invalid", wrong);
  }

  const soon = debounced(check, 500);
  box.addEventListener("input", soon);
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    soon.now();
  });
  const add = (text) => {
    const before = box.value.trim();
    // "or" binds less than "and": what is there already stays together.
    box.value = before ? `${/\bor\b/i.test(before) ? `(${before})` : before} and ${text}` : text;
    soon.now();
  };
  if (where) check();
  return el("div", { class: "filters" }, field("Only where", box), told, helper(index.columns, add));
}

function helper(columns, add) {
  const names = Object.keys(columns).filter((name) => OPERATORS[columns[name]]);
  if (!names.length) return null;
  const operator = el("select", { "aria-label": "How" });
  const value = el("input", { "aria-label": "Value" });
  const fill = () => {
    const type = columns[column.value];
    operator.replaceChildren(...OPERATORS[type].map(([sign, words]) => el("option", { value: sign }, words)));
    value.type = { number: "number", date: "date" }[type] ?? "text";
    value.value = "";
    needs();
  };
  const needs = () => {
    value.hidden = /null|true|false/.test(operator.value);
  };
  const column = choice(
    names.map((name) => [name, name]),
    names[0],
    fill,
    { "aria-label": "Column" },
  );
  operator.addEventListener("change", needs);
  value.step = "any";
  fill();
  const submit = (event) => {
    event.preventDefault();
    if (!value.hidden && value.value === "") return value.focus();
    add(condition(column.value, columns[column.value], operator.value, value.value));
    value.value = "";
  };
  return el(
    "form",
    { class: "helper", onsubmit: submit, "aria-label": "Write a condition" },
    column,
    operator,
    value,
    el("button", {}, "Add"),
  );
}

/** A condition on this very index, to show how one is written. */
function example(columns) {
  const [name, type] =
    Object.entries(columns).find(([, kind]) => kind === "number") ?? Object.entries(columns)[0] ?? [];
  if (!name) return "";
  const sign = { number: "> 3", text: "= 'a word'", boolean: "= true", date: "> '2020-01-31'" }[type] ?? "is not null";
  return `${named(name)} ${sign}`;
}
