// The way to the next page of a list.

import { t } from "../lib/text.js";
import { html } from "../lib/ui.js";
import { Problem } from "./problem.js";

/** `pages` is what `usePages` returns. */
export const MoreButton = ({ pages }) => html`
  ${pages.more && html`<button type="button" disabled=${pages.isBusy} onClick=${pages.more}>${t("more")}</button>`}
  <${Problem} problem=${pages.moreProblem} />
`;
