// Addresses: `#/models/iris/3?…` is the page `models` with two parts and a query. All state that a
// link has to show to somebody else is in the address.

import { useEffect, useState } from "./ui.js";

/** Return the address of a page: its path, and a query without what is empty. */
export function address(path, query = {}) {
  const entries = Object.entries(query).filter(([, value]) => value != null && value !== "");
  const text = new URLSearchParams(entries).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

/** Return the path and the query of an address; one that cannot be read is that of the first page. */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  try {
    return {
      path: path.split("/").filter(Boolean).map(decodeURIComponent),
      query: Object.fromEntries(new URLSearchParams(query)),
    };
  } catch {
    return { path: [], query: {} };
  }
}

/** Go to an address; `replace` leaves no entry in the browser's history. */
export function navigate(target, { replace = false } = {}) {
  if (replace) {
    history.replaceState(null, "", target);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = target;
  }
}

/** Return the address that is shown now. */
export function useRoute() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return parse(hash);
}
