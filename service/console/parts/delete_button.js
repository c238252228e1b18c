// Deleting something, after a question.

import { refresh, send } from "../lib/api.js";
import { navigate } from "../lib/router.js";
import { t } from "../lib/text.js";
import { html } from "../lib/ui.js";
import { ConfirmButton } from "./confirm_button.js";

/** Delete what is at `path` of the API, and go to the page `next`. */
export function DeleteButton({ path, next, ...rest }) {
  const act = async () => {
    await send({ method: "DELETE", path });
    refresh();
    navigate(next);
  };
  return html`<${ConfirmButton} label=${t("delete")} act=${act} ...${rest} />`;
}
