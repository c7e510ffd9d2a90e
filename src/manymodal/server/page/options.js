// What the query is made of and looks for: buttons that add a part, the target, and the switches.

import { hintOf } from "./cards.js";
import { button, choice, el, field, tick, uid } from "./dom.js";

const SEGMENTS = 5; // more targets than this are a list
const LETTERS = 36; // and so are names too long for one line

/** A button for each modality that can be asked with. */
export function addButtons({ modalities }, add) {
  const names = Object.keys(modalities).filter((name) => modalities[name].queryable && hintOf(modalities[name]));
  return names.map((name) =>
    button(el("span", {}, name, el("small", {}, hintOf(modalities[name]))), () => add(name), {
      icon: "plus",
      class: "chip",
      "data-modality": name,
    }),
  );
}

/** What is looked for. */
export function targetField({ targets }, chosen, changed) {
  const words = (name) => (name === "item" ? "whole item" : name);
  if (targets.length > SEGMENTS || targets.map(words).join("").length > LETTERS) {
    return field(
      "Find by",
      choice(
        targets.map((name) => [name, words(name)]),
        chosen,
        changed,
      ),
    );
  }
  const group = uid();
  return el(
    "fieldset",
    { class: "segments" },
    el("legend", {}, "Find by"),
    el(
      "div",
      {},
      targets.map((name) =>
        el(
          "label",
          {},
          el("input", {
            type: "radio",
            name: group,
            value: name,
            checked: name === chosen,
            onchange: () => changed(name),
          }),
          el("span", {}, words(name)),
        ),
      ),
    ),
  );
}

const CORRECTIONS = {
  qb_norm: "querybank normalisation",
  nnn: "nearest-neighbour normalisation",
  csls: "CSLS",
  mean_removal: "mean removal",
};

/** The switches that most searches leave alone. */
export function optionFields({ calibrated, corrections }, state, changed) {
  const set = (key) => (value) => {
    state[key] = value;
    changed();
  };
  return el(
    "div",
    { class: "switches" },
    calibrated ? tick("balance the parts by how much they tell", state.calibrated, set("calibrated")) : null,
    corrections.length
      ? field(
          "Correct for items that are near everything",
          choice(
            [["", "no"], ...corrections.map((name) => [name, CORRECTIONS[name] ?? name])],
            state.correct,
            set("correct"),
          ),
        )
      : null,
    field(
      "Several parts are",
      choice(
        [
          ["compose", "added up to one query"],
          ["rank", "asked one by one, their ranks merged"],
        ],
        state.fusion,
        set("fusion"),
      ),
    ),
  );
}
