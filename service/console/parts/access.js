// What the key of this session may do, and asking for one.

import { declineKey, key, keyNeeded, setKey } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { store, useStore } from "../lib/store.js";
import { t } from "../lib/text.js";
import { html, useEffect, useId, useState } from "../lib/ui.js";
import { Dialog, Field } from "./basics.js";

const RANK = { predict: 0, train: 1, admin: 2 };

/** `{ keys, role }` as `GET /access` says it; null until it has answered. */
export const access = store(null);

/** Ask what the key may do whenever it changes, or what it may do may have changed. */
export function useAccess() {
  const { data } = useLoad({ path: ["access"] }, { every: () => 60_000 });
  useEffect(() => access.set(data ?? null), [data]);
}

/** Return whether the key has a role; true until that is known. */
export function useRole(role) {
  const may = useStore(access);
  return may === null || RANK[may.role] >= RANK[role];
}

/** A button for a role: others see it, disabled, with the reason. */
export function RoleButton({ role, children, disabled, ...rest }) {
  const allowed = useRole(role);
  const reason = useId();
  if (allowed)
    return html`<button type="button" disabled=${disabled} ...${rest}>${children}</button>`;
  return html`
    <span class="refused">
      <button type="button" ...${rest} disabled aria-describedby=${reason}>${children}</button>
      <small id=${reason}>${t("access.needs", { role })}</small>
    </span>
  `;
}

/** Ask for a key where the API wants one. */
export function KeyDialog() {
  const wanted = useStore(keyNeeded);
  const had = useStore(key);
  const [text, setText] = useState("");
  if (!wanted) return null;
  const give = (event) => {
    event.preventDefault();
    setKey(text.trim());
    setText("");
  };
  return html`
    <${Dialog} title=${t("key.title")} onClose=${declineKey}>
      <form onSubmit=${give}>
        <p>${had === null ? t("key.why") : t("key.refused")}</p>
        <${Field} label=${t("key.label")} hint=${t("key.kept")}>
          ${(tied) =>
            html`<input
              ...${tied}
              type="password"
              autocomplete="off"
              autofocus
              required
              value=${text}
              onInput=${(event) => setText(event.target.value)}
            />`}
        <//>
        <div class="actions">
          <button class="primary">${t("key.submit")}</button>
          <button type="button" onClick=${declineKey}>${t("cancel")}</button>
        </div>
      </form>
    <//>
  `;
}
