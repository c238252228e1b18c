// Many rows: pasted from a spreadsheet, or a file. The answer is a table, and a download.

import { upload } from "../lib/api.js";
import { beside, parse, write } from "../lib/csv.js";
import { download, isText, typeOf } from "../lib/files.js";
import { useAction } from "../lib/load.js";
import { formatCount, t } from "../lib/text.js";
import { html, useRef, useState } from "../lib/ui.js";
import { Card, Field, Sending, Table } from "../parts/basics.js";
import { CheckField } from "../parts/fields.js";
import { Curl } from "../parts/curl.js";
import { FileDrop } from "../parts/file_drop.js";
import { Problem } from "../parts/problem.js";

const SHOWN = 100;
const MOST_COLUMNS = 12;
const BESIDE_BYTES = 16 * 1024 * 1024;
const HEAD_BYTES = 1024 * 1024;

export function PredictRows({ contract, route }) {
  const [file, setFile] = useState(null);
  const [text, setText] = useState("");
  const [probabilities, setProbabilities] = useState(contract.probabilities !== false);
  const [sent, setSent] = useState(null);
  const abort = useRef(null);
  const call = callOf(route, file, text, probabilities);
  const { busy, problem, result, run, clear } = useAction(async () => {
    abort.current = new AbortController();
    const { data } = await upload(call, setSent, abort.current.signal);
    return answerOf(data, file, text);
  });
  const choose = (change) => {
    clear();
    setSent(null);
    change();
  };
  return html`
    <${Card} title=${t("rows.title")}>
      <${FileDrop}
        label=${t("rows.drop")}
        file=${file}
        accept=".csv,.tsv,.txt,.parquet,.arrow,.arrows"
        onFile=${(next) =>
          choose(() => {
            setFile(next);
            setText("");
          })}
      />
      <${Field}
        label=${t("rows.paste")}
        hint=${t("rows.pasteHint", { names: hintNames(contract.features) })}
      >
        ${(tied) =>
          html`<textarea
            ...${tied}
            rows="5"
            spellcheck="false"
            value=${text}
            onInput=${(event) =>
              choose(() => {
                setText(event.target.value);
                setFile(null);
              })}
          ></textarea>`}
      <//>
      ${
        contract.probabilities !== false &&
        html`<${CheckField}
          label=${t("rows.probabilities")}
          checked=${probabilities}
          onChange=${(checked) => choose(() => setProbabilities(checked))}
        />`
      }
      <div class="actions">
        <button
          type="button"
          class="primary"
          disabled=${busy || (!file && !text.trim())}
          onClick=${run}
        >
          ${t("rows.predict")}
        </button>
        ${busy && html`<button type="button" onClick=${() => abort.current.abort()}>${t("cancel")}</button>`}
      </div>
      <div role="status">
        ${busy && html`<${Sending} sent=${sent} then=${t("rows.answering")} />`}
      </div>
      <${Problem} problem=${problem} />
    <//>
    ${result && html`<${Answers} answers=${result} file=${file} />`}
    <${Curl} call=${call} />
  `;
}

const hintNames = (features) => {
  const names = features.slice(0, 4).map(({ name }) => name);
  return names.join(", ") + (features.length > 4 ? ", …" : "");
};

const callOf = (route, file, text, probabilities) => ({
  method: "POST",
  path: route,
  query: probabilities ? { probabilities: "true" } : {},
  accept: "text/csv",
  as: "blob",
  ...(file ? { file, type: typeOf(file) } : { text, type: "text/csv" }),
});

/** Put the rows beside their predictions where both are text and not large. */
async function answerOf(blob, file, text) {
  const together = (!file || isText(file)) && (file?.size ?? 0) + blob.size <= BESIDE_BYTES;
  if (together) {
    const predictions = parse(await blob.text(), { separator: "," });
    const records = beside(parse(file ? await file.text() : text), predictions);
    if (records)
      return {
        blob: new Blob([write(records)], { type: "text/csv" }),
        ...shown(records),
        rows: records.length - 1,
      };
    return { blob, ...shown(predictions), rows: predictions.length - 1 };
  }
  const records = parse(await blob.slice(0, HEAD_BYTES).text(), {
    separator: ",",
    most: SHOWN + 1,
  });
  return { blob, ...shown(records), rows: null };
}

const shown = (records) => ({ head: records[0], first: records.slice(1, SHOWN + 1) });

function Answers({ answers: { blob, head, first, rows }, file }) {
  // Of a wide table the last columns are the predictions.
  const cut = Math.max(0, head.length - MOST_COLUMNS);
  const name = `${(file?.name ?? "rows").replace(/\.[^.]*$/, "")}-predictions.csv`;
  return html`
    <${Card}
      title=${t("rows.answers")}
      aside=${html`<button type="button" class="primary" onClick=${() => download(blob, name)}>
        ${t("rows.download")}
      </button>`}
    >
      <p class="quiet" role="status">
        ${rows === null ? t("rows.firstOfMany", { n: first.length }) : t("rows.count", { n: formatCount(rows), shown: first.length })}
      </p>
      <${Table}
        label=${t("rows.answers")}
        head=${head.slice(cut).map((title) => html`<bdi>${title}</bdi>`)}
      >
        ${first.map(
          (record) =>
            html`<tr>
              ${record.slice(cut).map((value) => html`<td><bdi>${value}</bdi></td>`)}
            </tr>`,
        )}
      <//>
    <//>
  `;
}
