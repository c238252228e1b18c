// A call of the API as a value: what is sent, and what is shown as curl, are made from the same one.
//
//   { method, path: ["models", name], query: {…}, accept,
//     json: value | fields: [[name, text]], file: File | text: string, type }

/** Return the path of a call with its query. */
export function target({ path, query = {} }) {
  const entries = Object.entries(query).filter(([, value]) => value != null && value !== "");
  const text = new URLSearchParams(entries).toString();
  return `/${path.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

/** Return the headers of a call and its body, as fetch takes them. */
export function content(call) {
  const headers = { ...call.headers };
  if (call.accept) headers.accept = call.accept;
  if (call.json !== undefined) {
    headers["content-type"] = "application/json";
    return { headers, body: JSON.stringify(call.json) };
  }
  if (call.fields) {
    const form = new FormData();
    for (const [name, value] of call.fields) form.append(name, value);
    if (call.file) form.append("file", call.file, call.file.name);
    return { headers, body: form }; // the browser names its type, with the boundary
  }
  if (call.file || call.text !== undefined) {
    headers["content-type"] = call.type;
    return { headers, body: call.file ?? call.text };
  }
  return { headers, body: undefined };
}

const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** Quote what needs it, so that usual words stay readable. */
const word = (text) => (/^[\w./:=@%+,-]+$/.test(text) ? text : quote(text));

/** A value after `-F name=`: curl would read a file for a leading @ or <, and options after a semicolon. */
const field = (name, value) =>
  /^[@<]|;/.test(value)
    ? `--form-string ${word(`${name}=${value}`)}`
    : `-F ${word(`${name}=${value}`)}`;

/** Return the curl command that makes a call; a key is named by a variable, never shown. */
export function curl(call, { key = false, origin = location.origin } = {}) {
  const parts = [`curl -s ${word(origin + target(call))}`];
  const method = call.method ?? "GET";
  const hasBody = call.json !== undefined || call.fields || call.file || call.text !== undefined;
  if (method !== (hasBody ? "POST" : "GET"))
    parts[0] = `curl -s -X ${method} ${word(origin + target(call))}`;
  if (key) parts.push('-H "Authorization: Bearer $KEY"');
  if (call.accept) parts.push(`-H ${quote(`Accept: ${call.accept}`)}`);
  if (call.json !== undefined) {
    parts.push("-H 'Content-Type: application/json'", `-d ${quote(JSON.stringify(call.json))}`);
  } else if (call.fields) {
    if (call.file)
      parts.push(`-F ${word(`file=@"${call.file.name.replaceAll(/["\\]/g, "\\$&")}"`)}`);
    for (const [name, value] of call.fields) parts.push(field(name, value));
  } else if (call.file) {
    parts.push(
      `-H ${quote(`Content-Type: ${call.type}`)}`,
      `--data-binary ${word(`@${call.file.name}`)}`,
    );
  } else if (call.text !== undefined) {
    parts.push(`-H ${quote(`Content-Type: ${call.type}`)}`, `--data-binary ${quote(call.text)}`);
  }
  return parts.join(" \\\n  ");
}

/** Return the number that a text spells; a text that spells none is sent as it was written. */
export const numberOf = (text) =>
  text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
