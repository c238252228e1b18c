// A place to drop a file, which is also a button that asks for one.

import { formatBytes } from "../lib/format.js";
import { html, names, useId, useState } from "../lib/ui.js";

export function FileDrop({ file, onFile, label, accept = ".csv,.tsv,.txt,.parquet" }) {
  const [over, setOver] = useState(false);
  const id = useId();
  const dropped = (event) => {
    event.preventDefault();
    setOver(false);
    if (event.dataTransfer.files.length > 0) onFile(event.dataTransfer.files[0]);
  };
  const dragged = (event) => {
    event.preventDefault();
    setOver(true);
  };
  const chosen = (event) => {
    if (event.target.files.length > 0) onFile(event.target.files[0]);
    // The same file may be chosen again after it was changed.
    event.target.value = "";
  };
  return html`
    <div
      class=${names({ drop: true, over })}
      onDragOver=${dragged}
      onDragLeave=${() => setOver(false)}
      onDrop=${dropped}
    >
      <input id=${id} class="hidden" type="file" accept=${accept} onChange=${chosen} />
      <label for=${id}>${label}</label>
      ${file && html`<p class="file"><bdi>${file.name}</bdi> · ${formatBytes(file.size)}</p>`}
    </div>
  `;
}
