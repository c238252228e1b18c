// Deleting something, after a question.

import { refresh, send } from "../lib/api.js";
import { useAction } from "../lib/load.js";
import { navigate } from "../lib/router.js";
import { t } from "../lib/text.js";
import { html, useState } from "../lib/ui.js";
import { RoleButton } from "./access.js";
import { Dialog } from "./basics.js";
import { Problem } from "./problem.js";

/**
 * Delete what is at `path` of the API, and go to the page `next`. `refusal` is the reason why that
 * is not possible now.
 */
export function DeleteButton({ path, next, question, why, refusal }) {
  const [asking, setAsking] = useState(false);
  const { busy, problem, run, clear } = useAction(async () => {
    await send({ method: "DELETE", path });
    refresh();
    navigate(next);
  });
  const close = () => {
    setAsking(false);
    clear();
  };
  return html`
    <${RoleButton}
      role="admin"
      disabled=${!!refusal}
      title=${refusal}
      onClick=${() => setAsking(true)}
      >${t("delete")}<//
    >
    ${
      asking &&
      html`<${Dialog} title=${question} onClose=${close}>
        <p>${why}</p>
        <${Problem} problem=${problem} />
        <div class="actions">
          <button type="button" class="danger" disabled=${busy} onClick=${run}>
            ${t("delete")}
          </button>
          <button type="button" onClick=${close}>${t("cancel")}</button>
        </div>
      <//>`
    }
  `;
}
