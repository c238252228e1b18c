// What the Train page has gathered, as the call that it makes.

import { numberOf } from "./call.js";

/** What a person may choose; everything here is as the API calls it, empty where it is its default. */
export const NOTHING_CHOSEN = {
  target: "",
  exclude: [],
  types: {},
  missing: "",
  encoding: "",
  name: "",
  model_type: "",
  params: {},
  search: null,
  test_size: "",
  cv: "",
  seed: "",
  class_weight: "",
  unknown_categories: "",
  refit: false,
  use: null,
};

/** A search of which nothing was chosen yet: among a few good classifiers, as long as it takes. */
export const NEW_SEARCH = { among: "default", types: [], trials: "", seconds: "" };

const NUMBERS = ["test_size", "cv", "seed"];
const LISTS = /\s*[,;]\s*/;

/** Return a search as the API calls it. */
function searchOf({ among, types, trials, seconds }) {
  return {
    ...(among === "some" && { model_types: types }),
    ...(trials !== "" && { trials: numberOf(trials) }),
    ...(seconds !== "" && { seconds: numberOf(seconds) }),
  };
}

/** Return what was chosen as members of a JSON body; a number that is none is sent as it was written. */
function members(chosen) {
  const body = {};
  for (const [name, value] of Object.entries(chosen)) {
    if (value === "" || value === null || value === false) continue;
    if (typeof value === "object" && Object.keys(value).length === 0) continue;
    if (name === "search") body.search = searchOf(value);
    else if (name === "missing") body.missing = value.trim().split(LISTS);
    else if (NUMBERS.includes(name)) body[name] = numberOf(value);
    else body[name] = value;
  }
  if (chosen.search && chosen.search.among !== "one") {
    delete body.model_type;
    delete body.params;
  }
  // Not using it is a choice too: left out, it would be used.
  if (chosen.use === false) body.use = false;
  return body;
}

const spelled = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** Return the call for rows from a file, or from a data set by name. */
export function trainCall({ file, dataset }, chosen, more = {}) {
  const body = { ...members(chosen), ...more };
  if (!file) return { method: "POST", path: ["train"], json: { dataset, ...body } };
  const fields = Object.entries(body).map(([name, value]) => [name, spelled(value)]);
  return { method: "POST", path: ["train"], file, fields };
}

/** Return the columns that a sentence of the API offers to leave out. */
export function offered(message) {
  const [, list] = message.match(/"exclude": (\[(?:"(?:[^"\\]|\\.)*"(?:, )?)+\])/) ?? [];
  try {
    return list ? JSON.parse(list) : [];
  } catch {
    return [];
  }
}

/** Return random text that no other request has; `crypto.randomUUID` needs TLS. */
export function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
