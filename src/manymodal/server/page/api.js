// Talking to the server: JSON and files out, JSON in, problems as words, a key where one is asked for.

const KEY = "manymodal-key";
const items = new Map(); // id -> promise of the item, for as long as the index stays at one version
let askForKey = null;
let asking = null; // one dialog, however many requests wait for it

/** What went wrong, in words for the user. */
export class Problem extends Error {
  constructor(words, status = 0) {
    super(words);
    this.status = status;
  }
}

/** `ask(wrong)` is called when the server wants a key; it promises one, or null where the user has none. */
export function whenKeyIsMissing(ask) {
  askForKey = ask;
}

/** An address of this server; relative, so that the page also works below a proxy's prefix. */
const address = (path) => new URL(path.replace(/^\//, ""), document.baseURI);

async function send(path, options) {
  const used = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(used ? { Authorization: `Bearer ${used}` } : {}) };
  let response;
  try {
    response = await fetch(address(path), { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer. Is it still running?");
  }
  if (response.status === 401 && askForKey) {
    // Another request may have brought the key while this one was on its way.
    if (sessionStorage.getItem(KEY) === used) {
      asking ||= askForKey(used !== null).finally(() => {
        asking = null;
      });
      const key = await asking;
      if (key === null) throw new Problem("This index is opened with a key.", 401);
      sessionStorage.setItem(KEY, key);
    }
    return send(path, options);
  }
  if (!response.ok) throw new Problem(await wordsOf(response), response.status);
  return response;
}

async function wordsOf(response) {
  const wait = response.headers.get("Retry-After");
  const again = wait ? ` Try again in ${wait} s.` : "";
  try {
    const problem = await response.json();
    return (problem.detail || problem.title || `The server answered ${response.status}.`) + again;
  } catch {
    return `The server answered ${response.status}.${again}`;
  }
}

/** GET a path with parameters (null and "" are left out). */
export async function get(path, parameters = {}, signal = undefined) {
  const said = Object.entries(parameters).filter(([, value]) => value !== null && value !== "");
  const query = new URLSearchParams(said).toString();
  return (await send(query ? `${path}?${query}` : path, { signal })).json();
}

/** POST a request; with files, as a form of which `request` is a field. */
export async function post(path, request, files = {}, signal = undefined) {
  const names = Object.keys(files);
  let body = JSON.stringify(request);
  const headers = {};
  if (names.length) {
    const form = new FormData();
    form.append("request", body);
    for (const name of names) form.append(name, files[name], name);
    body = form;
  } else {
    headers["Content-Type"] = "application/json";
  }
  return (await send(path, { method: "POST", body, headers, signal })).json();
}

/** An item with all its values; asked for once. */
export function itemOf(id) {
  if (!items.has(id)) {
    const promise = get("item", { id });
    promise.catch(() => items.delete(id));
    items.set(id, promise);
  }
  return items.get(id);
}

/** After a change of the index its items are read anew. */
export function forgetItems() {
  items.clear();
}

/** The server's address for a value's media. */
export const mediaPath = (id, modality, place) => `media?${new URLSearchParams({ id, modality, place })}`;

/** What an <img> or <audio> can load: the address itself, or, with a key, the content fetched with it. */
export async function mediaSource(path) {
  if (sessionStorage.getItem(KEY) === null) return address(path).href;
  return URL.createObjectURL(await (await send(path, {})).blob());
}
