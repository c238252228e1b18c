// Enough of CSV to show a file next to its predictions; what a file means, the API alone decides.

const SEPARATORS = [",", ";", "\t", "|"];

/** Return the separator that the first line has most of. */
function separatorOf(text) {
  const [, named] = text.match(/^\uFEFF?sep=(.)\r?\n/) ?? [];
  if (named) return named;
  const line = text
    .slice(0, 65_536)
    .split(/\r?\n/, 1)[0]
    .replace(/"[^"]*"/g, "");
  const counts = SEPARATORS.map((separator) => line.split(separator).length);
  return SEPARATORS[counts.indexOf(Math.max(...counts))];
}

/** Return at most `most` records, each a list of texts; blank lines are left out. */
export function parse(text, { separator = separatorOf(text), most = Infinity } = {}) {
  const records = [];
  let record = [];
  let start = text.startsWith("\uFEFF") ? 1 : 0;
  if (/^sep=.\r?\n/.test(text.slice(start, start + 7))) start = text.indexOf("\n") + 1;
  while (start < text.length && records.length < most) {
    const [field, end] = fieldAt(text, start, separator);
    record.push(field);
    start = end;
    if (text[start] === separator) {
      start += 1;
      if (start < text.length) continue;
      record.push("");
    }
    if (record.length > 1 || record[0].trim() !== "") records.push(record);
    record = [];
    start = text.startsWith("\r\n", start) ? start + 2 : start + 1;
  }
  return records;
}

/** Return the field that begins at a place, and where it ends. */
function fieldAt(text, start, separator) {
  if (text[start] !== '"') {
    let end = start;
    while (
      end < text.length &&
      text[end] !== separator &&
      text[end] !== "\n" &&
      text[end] !== "\r"
    ) {
      end += 1;
    }
    return [text.slice(start, end), end];
  }
  let field = "";
  let from = start + 1;
  for (;;) {
    const quote = text.indexOf('"', from);
    if (quote < 0) return [field + text.slice(from), text.length];
    field += text.slice(from, quote);
    if (text[quote + 1] !== '"') {
      let end = quote + 1;
      while (end < text.length && text[end] !== separator && !"\r\n".includes(text[end])) end += 1;
      return [field, end];
    }
    field += '"';
    from = quote + 2;
  }
}

const written = (field) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field);

/** Write records with commas. */
export const write = (records) =>
  records.map((record) => record.map(written).join(",")).join("\n") + "\n";

/** Return the records of a file with those of its predictions beside them; null if they do not match. */
export function beside(rows, predictions) {
  if (rows.length !== predictions.length) return null;
  return rows.map((row, number) => [...row, ...predictions[number]]);
}
