// Putting a version in use in every replica, and taking that back.

import { refresh, send } from "../lib/api.js";
import { useAction } from "../lib/load.js";
import { store, useStore } from "../lib/store.js";
import { formatSeconds } from "../lib/format.js";
import { t } from "../lib/text.js";
import { html } from "../lib/ui.js";
import { RoleButton } from "./access.js";
import { Problem } from "./problem.js";

/** The last change that was made here: the API's reply. It can be taken back. */
const lastChange = store(null);

export const changeCall = (name, version, expected) => ({
  method: "POST",
  path: ["use-model"],
  json: { name, version, ...(expected != null && { expected_epoch: expected }) },
});

async function put(call) {
  const { data } = await send(call);
  lastChange.set(data);
  refresh();
}

/** A button that puts one version in use. */
export function UseButton({ version: { name, version, in_use: inUse, servable } }) {
  const { busy, problem, run } = useAction(put);
  if (inUse) return null;
  return html`
    <${RoleButton}
      role="admin"
      class="primary"
      disabled=${busy || servable === false}
      onClick=${() => run(changeCall(name, version))}
      >${busy ? t("use.busy") : t("use.do")}<//
    >
    <${Problem} problem=${problem} />
  `;
}

/** What the last change did, and a way back. */
export function LastChange() {
  const change = useStore(lastChange);
  const { busy, problem, run } = useAction(put);
  if (!change) return null;
  const { name, version, epoch, previous, missing, replicas, seconds } = change;
  const back =
    previous && !(previous.name === name && previous.version === version) ? previous : null;
  return html`
    <div class="notice" role="status">
      <p>
        ${t("use.done", { name, version, n: replicas.length, time: formatSeconds(seconds) })}${" "}
        ${missing.length > 0 && html`<strong>${t("use.missing", { names: missing.join(", ") })}</strong>`}
      </p>
      <div class="actions">
        ${
          back &&
          html`<${RoleButton}
            role="admin"
            disabled=${busy}
            onClick=${() => run(changeCall(back.name, back.version, epoch))}
          >
            ${t("use.back", { name: back.name, version: back.version })}
          <//>`
        }
        <button type="button" onClick=${() => lastChange.set(null)}>${t("close")}</button>
      </div>
      <${Problem} problem=${problem} />
    </div>
  `;
}
