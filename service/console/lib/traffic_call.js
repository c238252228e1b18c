// What the form of a second version has gathered, as the call that it makes.

import { numberOf } from "./call.js";

/** Sensible for most; everything here is as the API calls it, empty where it is not asked for. */
export const USUAL = {
  mode: "shadow",
  percent: "100",
  key: "",
  judged: true,
  rules: {
    rows: "2000",
    agreement: "0.97",
    errors: "0.001",
    latency_ratio: "1.5",
    quality: "not worse",
    then: "promote",
    else: "end",
  },
};

const NUMBERS = ["rows", "agreement", "errors", "latency_ratio"];

/** Return the rules without those that are not asked for. */
const asked = (rules) =>
  Object.fromEntries(
    Object.entries(rules)
      .filter(([, value]) => value !== "")
      .map(([name, value]) => [name, NUMBERS.includes(name) ? numberOf(value) : value]),
  );

/** Return the call that puts a version beside the one in use as it was chosen. */
export function trafficCall({ name, version }, { mode, percent, key, judged, rules }) {
  const json = { name, version, mode, percent: numberOf(percent) };
  if (mode === "split" && key.trim()) json.key = key.trim();
  if (judged) json.rules = asked(rules);
  return { method: "PUT", path: ["traffic"], json };
}
