// What kind of file a person has dropped, and how results leave the page.

const TYPES = [
  [/\.(parquet|pq)$/i, "application/vnd.apache.parquet"],
  [/\.(arrow|arrows|ipc)$/i, "application/vnd.apache.arrow.stream"],
];

/** Return the content type that the API reads a file by: what is no other kind is sent as CSV. */
export const typeOf = (file) =>
  (TYPES.find(([ending]) => ending.test(file.name)) ?? [0, "text/csv"])[1];

export const isText = (file) => typeOf(file) === "text/csv";

/** Offer a Blob as a download. */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // Chromium reads it after the click; a minute is more than any disk takes to begin.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
