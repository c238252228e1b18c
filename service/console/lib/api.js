// Calls to the API, with the key of this session, and what can go wrong with them.

import { content, target } from "./call.js";
import { store } from "./store.js";
import { t } from "./text.js";

const KEY = "mlops-desafio.key";

/** An answer that is an error: the API's own sentences (RFC 9457). */
export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body?.detail ?? t("problem.status", { status }));
    this.status = status;
    this.title = body?.title ?? "";
    this.errors = body?.errors ?? [];
    this.body = body ?? {};
    this.retryAfter = retryAfter;
  }
}

/** No answer at all: the service is away, or starts again. */
class Unreachable extends Error {
  constructor() {
    super(t("problem.unreachable"));
    this.status = 0;
    this.errors = [];
  }
}

/** The key of this session; null where none was asked for. */
export const key = store(sessionStorage.getItem(KEY));

/** Whether a key is asked for: the API wants one, or a person wants to give another. */
export const keyNeeded = store(false);

/** A person who was asked and gave none is not asked again by what the page does by itself. */
let declined = false;

export function declineKey() {
  declined = true;
  keyNeeded.set(false);
}

/** Whether the service answered the last call. */
export const connected = store(true);

/** Grows whenever everything on a page has to be asked for again. */
export const revision = store(0);

export const refresh = () => revision.set(revision.get() + 1);

export function setKey(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
  key.set(value);
  declined = false;
  keyNeeded.set(false);
  refresh();
}

function headersOf(headers) {
  return key.get() ? { ...headers, authorization: `Bearer ${key.get()}` } : headers;
}

/** Make a call; return `{ status, headers, data }`. Throws Problem, Unreachable, or AbortError. */
export async function send(call, signal) {
  const { headers, body } = content(call);
  let response;
  try {
    response = await fetch(target(call), {
      method: call.method ?? (body === undefined ? "GET" : "POST"),
      headers: headersOf(headers),
      body,
      signal,
    });
    return await read(response, call.as);
  } catch (error) {
    if (error instanceof TypeError) throw lost();
    throw error;
  }
}

async function read(response, as) {
  connected.set(true);
  if (!response.ok) throw problemOf(response.status, await response.text(), response.headers);
  const data = as === "blob" ? await response.blob() : parseJson(await response.text());
  return { status: response.status, headers: response.headers, data };
}

/** Make a call whose body is large; `progress` gets the share that was sent, from 0 to 1. */
export function upload(call, progress, signal) {
  return new Promise((resolve, reject) => {
    const { headers, body } = content(call);
    const request = new XMLHttpRequest();
    request.open(call.method ?? "POST", target(call));
    for (const [name, value] of Object.entries(headersOf(headers))) {
      request.setRequestHeader(name, value);
    }
    request.responseType = "blob";
    request.upload.onprogress = (event) =>
      event.lengthComputable && progress(event.loaded / event.total);
    request.upload.onload = () => progress(1);
    request.onerror = () => reject(lost());
    request.onabort = () => reject(new DOMException("", "AbortError"));
    request.onload = async () => {
      connected.set(true);
      const sent = new Headers(parseHeaders(request.getAllResponseHeaders()));
      if (request.status >= 400) {
        reject(problemOf(request.status, await request.response.text(), sent));
      } else {
        const { response } = request;
        const data = call.as === "blob" ? response : parseJson(await response.text());
        resolve({ status: request.status, headers: sent, data });
      }
    };
    signal?.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

const parseHeaders = (text) =>
  text
    .split("\r\n")
    .filter(Boolean)
    .map((line) => line.split(/: (.*)/s).slice(0, 2));

function lost() {
  connected.set(false);
  return new Unreachable();
}

function problemOf(status, text, headers) {
  const problem = new Problem(status, parseJson(text), Number(headers.get("retry-after")) || null);
  if (problem.status === 401 && !declined) keyNeeded.set(true);
  return problem;
}

/** Keep the spelling of whole numbers that JavaScript's own cannot hold: a label may be one. */
const exact = (_, value, context) =>
  Number.isInteger(value) && !Number.isSafeInteger(value) ? (context?.source ?? value) : value;

function parseJson(text) {
  try {
    return JSON.parse(text, /\d{16}/.test(text) ? exact : undefined);
  } catch {
    return null;
  }
}
