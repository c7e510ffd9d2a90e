// What is asked: a list of parts and a few switches; as a request for the server, and as the page's address.

/** Weight of a part that the user has said nothing about. */
export const USUAL = { with: 1, without: 0.5 };
export const STEP = 24; // hits at a time

/** A part: `items`, `value` (JSON) or `file` (a blob) is what it asks with; none of them while it is empty. */
export function newPart(modality, more = {}) {
  return {
    modality,
    minus: false,
    weight: USUAL.with,
    items: null,
    value: undefined,
    file: null,
    lost: false,
    ...more,
  };
}

export const isSaid = (part) => Boolean(part.items || part.file || part.value !== undefined);

/** The first part of the same modality and sign: these are one part to the server, and have one weight, the first's. */
export const leaderOf = (parts, part) =>
  parts.find((one) => one.modality === part.modality && one.minus === part.minus);

/** What the server is asked, and the files that the request names; null while there is nothing to ask with. */
export function toRequest(state) {
  const groups = new Map(); // first part -> what is said
  const files = {};
  for (const part of state.parts.filter(isSaid)) {
    const leader = leaderOf(state.parts, part);
    if (leader.weight === 0) continue;
    const { modality, minus, weight } = leader;
    if (!groups.has(leader)) groups.set(leader, { modality, weight: minus ? -weight : weight });
    const said = groups.get(leader);
    if (part.items) (said.items ??= []).push(...part.items);
    else (said.values ??= []).push(part.file ? named(part.file, files) : part.value);
  }
  if (!groups.size) return null;
  const { target, k, calibrated, fusion, where, correct } = state;
  const request = {
    query: [...groups.values()],
    target,
    k,
    calibrated,
    fusion,
    ...(where ? { where } : {}),
    ...(correct ? { correct } : {}),
  };
  return { request, files };
}

function named(file, files) {
  const name = `file${Object.keys(files).length}`;
  files[name] = file;
  return { file: name };
}

/** The state as the address' last part. Pictures and sounds do not fit: their parts are named, and empty. */
export function toHash(state) {
  const parts = state.parts
    .filter(isSaid)
    .map((part) => ({
      modality: part.modality,
      ...(part.items ? { items: part.items } : part.file ? { lost: true } : { value: part.value }),
      ...(part.minus ? { minus: true } : {}),
      ...(part.weight === (part.minus ? USUAL.without : USUAL.with) ? {} : { weight: part.weight }),
    }));
  const { target, k, where, calibrated, correct, fusion } = state;
  const said = {
    parts,
    target,
    ...(k === STEP ? {} : { k }),
    ...(where ? { where } : {}),
    ...(calibrated ? {} : { calibrated }),
    ...(correct ? { correct } : {}),
    ...(fusion === "compose" ? {} : { fusion }),
  };
  return `#${encodeURIComponent(JSON.stringify(said))}`;
}

/** The state that an address names, checked against the index: {state, notes}, notes being what had to be left out. */
export function fromHash(hash, index) {
  const notes = [];
  const state = firstState(index);
  let said = {};
  try {
    if (hash.length > 1) said = JSON.parse(decodeURIComponent(hash.slice(1))) || {};
  } catch {
    notes.push("The link is damaged; this is a fresh search.");
  }
  const parts = (Array.isArray(said.parts) ? said.parts : []).filter((part) => {
    const modality = part && Object.hasOwn(index.modalities, part.modality) && index.modalities[part.modality];
    const known = modality && (part.items || modality.queryable);
    if (!known) notes.push(`The link names “${part?.modality}”, which cannot be asked with here; it was left out.`);
    return known;
  });
  if (parts.length) state.parts = parts.map(toPart);
  if (index.targets.includes(said.target)) state.target = said.target;
  else if (said.target !== undefined) notes.push(`The link looks for “${said.target}”, which it lacks.`);
  if (typeof said.where === "string") state.where = said.where;
  if (Number.isInteger(said.k) && said.k > 0) state.k = Math.min(said.k, index.limits.k);
  if (said.calibrated === false) state.calibrated = false;
  if (index.corrections.includes(said.correct)) state.correct = said.correct;
  if (said.fusion === "rank") state.fusion = "rank";
  return { state, notes };
}

function toPart(said) {
  const minus = said.minus === true;
  const usual = minus ? USUAL.without : USUAL.with;
  const weight = Number.isFinite(said.weight) ? Math.min(Math.max(said.weight, 0), 2) : usual;
  const items = Array.isArray(said.items) && said.items.length ? said.items.map(String) : null;
  return newPart(said.modality, {
    minus,
    weight,
    items,
    value: items ? undefined : said.value,
    lost: said.lost === true,
  });
}

/** An empty words box where there is one, else what can be asked with first; the target is something to see. */
function firstState(index) {
  const names = Object.keys(index.modalities);
  const queryable = names.filter((name) => index.modalities[name].queryable);
  const kind = (name) => index.modalities[name].kind;
  const start =
    queryable.find((name) => kind(name) === "text" && index.modalities[name].per === "item") ??
    queryable.find((name) => kind(name) === "text") ??
    queryable[0];
  const targets = names.filter((name) => name !== start && index.targets.includes(name));
  const target =
    targets.find((name) => kind(name) === "image") ??
    targets.find((name) => kind(name) === "audio") ??
    targets[0] ??
    index.targets[0];
  const parts = start === undefined ? [] : [newPart(start)];
  return { parts, target, k: STEP, where: "", calibrated: true, correct: "", fusion: "compose" };
}
