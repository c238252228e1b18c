// The call that a page makes, as a command to copy.

import { key } from "../lib/api.js";
import { curl } from "../lib/call.js";
import { useStore } from "../lib/store.js";
import { t } from "../lib/text.js";
import { html, useRef, useState } from "../lib/ui.js";

/** Copy a text; a page that came without TLS from another machine has no clipboard of its own. */
async function toClipboard(text, shown) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  getSelection().selectAllChildren(shown);
  return document.execCommand("copy");
}

/** Show one call as curl, closed unless `open`. */
export function Curl({ call, title = t("curl.title"), open = false }) {
  const withKey = useStore(key) !== null;
  const [copied, setCopied] = useState(false);
  const shown = useRef(null);
  const command = curl(call, { key: withKey });
  const copy = async () => {
    await toClipboard(command, shown.current);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return html`
    <details class="curl" open=${open}>
      <summary>${title}</summary>
      <div>
        <pre tabindex="0" ref=${shown} aria-label=${title}>${command}</pre>
        <button type="button" class="small" onClick=${copy}>
          ${copied ? t("copied") : t("copy")}
        </button>
        <span role="status" class="hidden">${copied && t("copied")}</span>
      </div>
    </details>
  `;
}
