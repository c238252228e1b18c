// Numbers, sizes and times as people read them.

import { language } from "./text.js";

const significant = new Intl.NumberFormat(language, { maximumSignificantDigits: 4 });
const percent = new Intl.NumberFormat(language, {
  style: "percent",
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});
const fine = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 3 });
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
const clock = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });

export const formatNumber = (value) => significant.format(value);

export const formatShare = (share) => percent.format(share);

/** Write a share so that it does not look like its bound where it is not equal to it. */
export const formatFineShare = (share) => fine.format(share);

/** Write a metric: most of them are shares, but a log loss has no upper bound. */
export const formatMetric = (value) => (value === undefined ? "" : value.toFixed(4));

/** Write the name of a metric. */
export const metricName = (name) => name.replaceAll("_", " ");

/** Write a difference with its sign. */
export function formatDifference(value) {
  const digits = Math.abs(value).toFixed(4);
  return Number(digits) === 0 ? digits : `${value < 0 ? "−" : "+"}${digits}`;
}

const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** Write how long ago a time in RFC 3339 was. */
export function formatAge(time) {
  const seconds = (Date.parse(time) - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
  return relative.format(Math.round(seconds / size), unit);
}

export const formatTime = (time) => clock.format(new Date(time));

/** Write a number of bytes. */
export function formatBytes(bytes) {
  const power = bytes < 1024 ? 0 : Math.min(3, Math.floor(Math.log2(bytes) / 10));
  return `${significant.format(bytes / 1024 ** power)} ${["B", "KiB", "MiB", "GiB"][power]}`;
}

/** Write a duration in seconds. */
export function formatSeconds(seconds) {
  if (seconds < 1) return `${significant.format(seconds * 1000)} ms`;
  if (seconds < 120) return `${significant.format(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** Write a label or a value as the API's JSON spells it, texts without quotes. */
export const spell = (value) => (value === null ? "" : String(value));
