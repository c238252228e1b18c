// Train: rows from a file or a data set, what a training would see of them, a classifier, go.

import { revision, send, upload } from "../lib/api.js";
import { formatBytes } from "../lib/format.js";
import { useAction, useLoad, useSettled } from "../lib/load.js";
import { address, navigate } from "../lib/router.js";
import { useStore } from "../lib/store.js";
import { formatCount, t } from "../lib/text.js";
import { NOTHING_CHOSEN, offered, randomKey, trainCall } from "../lib/train_call.js";
import { html, useEffect, useRef, useState } from "../lib/ui.js";
import { RoleButton, useRole } from "../parts/access.js";
import { Card, Field, Notes, Pick, Sending } from "../parts/basics.js";
import { SelectField } from "../parts/fields.js";
import { Curl } from "../parts/curl.js";
import { FileDrop } from "../parts/file_drop.js";
import { Problem } from "../parts/problem.js";
import { TrainColumns } from "./train_columns.js";
import { TrainOptions } from "./train_options.js";
import { Trainings } from "./trainings.js";

const LARGE_BYTES = 8 * 1024 * 1024;
const TYPING_MILLISECONDS = 250;
/** What may become of the new version, as `/train` calls it; left out, it is used. */
const USES = { true: null, "if-better": "if-better", false: false };
const FAVOURITE = "RandomForestClassifier";

export function Train({ query }) {
  const [file, setFile] = useState(null);
  const [chosen, setChosen] = useState({ ...NOTHING_CHOSEN, model_type: FAVOURITE });
  const choose = (change) => setChosen((before) => ({ ...before, ...change }));
  const dataset = file ? "" : (query.dataset ?? "");
  const rows = file || dataset;
  const begin = (nextFile, nextSet) => {
    setFile(nextFile);
    const { model_type, params, search } = chosen;
    setChosen({ ...NOTHING_CHOSEN, model_type, params, search });
    navigate(address(["train"], { dataset: nextSet }), { replace: true });
  };
  const look = useLook({ file, dataset }, chosen);
  useGuess(look.seen, chosen, choose);
  return html`
    <p class="lead">${t("train.lead")}</p>
    <${Card} title=${t("train.rows")}>
      <div class="sources">
        <${FileDrop} label=${t("train.drop")} file=${file} onFile=${(next) => begin(next, null)} />
        <${DataSetPick} value=${dataset} onChange=${(name) => begin(null, name)} />
      </div>
      <div role="status">
        ${look.busy && html`<${Sending} sent=${file ? look.sent : null} then=${t("train.looking")} />`}
      </div>
      <${Problem} problem=${look.problem} retry=${look.again} placed=${hasField} />
    <//>
    ${rows && look.seen && html`<${Plan} ...${{ file, dataset, chosen, choose, look }} />`}
    <${Trainings} />
    ${!rows && html`<${Curl} call=${{ path: ["trainings"] }} />`}
  `;
}

/** Look at the rows whenever something is chosen; at a large file only when asked to. */
function useLook(source, chosen) {
  const [sent, setSent] = useState(null);
  const [turn, setTurn] = useState(0);
  const current = useStore(revision);
  const abort = useRef(null);
  const call = trainCall(source, { ...chosen, use: null }, { dry_run: true });
  const { busy, problem, result, run, clear } = useAction(async () => {
    abort.current?.abort();
    const mine = new AbortController();
    abort.current = mine;
    setSent(source.file ? 0 : null);
    const { data } = source.file
      ? await upload(call, setSent, mine.signal)
      : await send(call, mine.signal);
    return { seen: data, of: settled };
  });
  const large = source.file?.size > LARGE_BYTES;
  const wanted =
    source.file || source.dataset ? JSON.stringify([source.dataset, chosen, turn, current]) : null;
  const settled = useSettled(wanted, TYPING_MILLISECONDS);
  const last = useRef(null);
  useEffect(() => {
    if (settled === null) return;
    const isNew =
      last.current === null ||
      last.current.file !== source.file ||
      last.current.turn !== turn ||
      problem;
    last.current = { file: source.file, turn };
    if (isNew || !large) run();
  }, [settled, source.file]);
  const origin = source.file ?? source.dataset;
  const kept = useRef({});
  if (result && !busy) kept.current = { origin, seen: result.seen, of: result.of };
  if (kept.current.origin !== origin) kept.current = {};
  useEffect(() => clear, [origin]);
  return {
    busy,
    problem,
    sent,
    call,
    seen: kept.current.seen ?? null,
    /** Whether what is shown was seen with everything that is chosen now. */
    isCurrent: kept.current.of === wanted && !busy,
    large,
    again: () => setTurn((before) => before + 1),
  };
}

/** Choose the last column where the data set knows no target: it usually is. */
function useGuess(seen, chosen, choose) {
  useEffect(() => {
    if (!seen || chosen.target || seen.columns.some(({ role }) => role === "target")) return;
    const features = seen.columns.filter(({ role }) => role === "feature");
    if (features.length > 1) choose({ target: features.at(-1).name });
  }, [seen]);
}

function DataSetPick({ value, onChange }) {
  const { data, problem, reload } = useLoad({ path: ["datasets"] });
  const names = data?.datasets.map(({ name }) => name) ?? [];
  const options = value && !names.includes(value) ? [value, ...names] : names;
  return html`
    <${Field} label=${t("train.dataset")} error=${problem?.message}>
      ${(tied) =>
        html`<${Pick}
          tied=${tied}
          options=${options}
          value=${value}
          onChange=${onChange}
          empty="—"
        />`}
    <//>
    ${problem && html`<button type="button" class="small" onClick=${reload}>${t("retry")}</button>`}
  `;
}

function Plan({ file, dataset, chosen, choose, look }) {
  const { seen } = look;
  const mayUse = useRole("admin");
  const [use, setUse] = useState("true");
  const intended = { ...chosen, use: mayUse ? USES[use] : false };
  const call = trainCall({ file, dataset }, intended, { wait: 0 });
  const start = useStart(call);
  // What is wrong with the rows comes with what was seen of them; what is wrong with a choice is refused.
  const errors = [...seen.errors, ...(look.problem?.errors ?? [])];
  const size = t("train.size", {
    rows: formatCount(seen.rows),
    columns: formatCount(seen.columns.length),
  });
  const general = seen.errors.filter(({ pointer }) => !hasField(pointer));
  return html`
    <${Card} title=${t("train.columns")} aside=${html`<span class="quiet">${size}</span>`}>
      <${Notes} notes=${seen.notes} />
      <${TrainColumns}
        key=${file ? file.name : dataset}
        ...${{ seen, chosen, choose, problem: { errors }, isCurrent: look.isCurrent }}
      />
      <${General} errors=${general} chosen=${chosen} choose=${choose} />
    <//>
    <${TrainOptions} ...${{ chosen, choose, problem: { errors }, isFile: !!file }} />
    <${Card}>
      <${SelectField}
        label=${t("train.use")}
        hint=${mayUse ? t("train.useHint") : t("access.needs", { role: "admin" })}
        options=${Object.keys(USES).map((key) => [key, t(`use.${key}`)])}
        value=${mayUse ? use : "false"}
        disabled=${!mayUse}
        onChange=${setUse}
      />
      <div class="actions">
        ${
          look.large &&
          !look.isCurrent &&
          html`<button type="button" disabled=${look.busy} onClick=${look.again}>
            ${t("train.lookAgain", { size: formatBytes(file.size) })}
          </button>`
        }
        <${RoleButton}
          role="train"
          class="primary"
          disabled=${start.busy || errors.length > 0}
          onClick=${start.run}
          >${t("train.start")}<//
        >
        ${errors.length > 0 && html`<span class="quiet">${t("train.first")}</span>`}
      </div>
      <div role="status">
        ${start.busy && html`<${Sending} sent=${file ? start.sent : null} then=${t("train.starting")} />`}
      </div>
      <${Problem} problem=${start.problem} />
    <//>
    <${Curl} call=${call} />
  `;
}

/** Start a training once, however often the button is pressed before an answer has come. */
function useStart(call) {
  const [sent, setSent] = useState(0);
  const key = useRef({});
  const body = JSON.stringify(call);
  const action = useAction(async () => {
    if (key.current.of !== body || key.current.file !== call.file) {
      key.current = { of: body, file: call.file, text: randomKey() };
    }
    const keyed = { ...call, headers: { "idempotency-key": key.current.text } };
    const { data } = call.file ? await upload(keyed, setSent) : await send(keyed);
    navigate(address(["train", data.id]));
  });
  return { ...action, sent };
}

/** Whether what a pointer points to has a field on this page, where its sentence is shown. */
const hasField = (pointer) =>
  /^\/(target|params\/.*|name|model_type|search|search\/(?:model_types|trials|seconds)|missing|encoding|test_size|cv|seed|class_weight|unknown_categories|refit)$/.test(
    pointer,
  );

const General = ({ errors, chosen, choose }) =>
  errors.length > 0 &&
  html`
    <ul class="problem" role="alert">
      ${errors.map(({ message }) => {
        const columns = offered(message);
        const leave = () => choose({ exclude: [...new Set([...chosen.exclude, ...columns])] });
        return html`<li>
          ${message}
          ${
            columns.length > 0 &&
            html`<button type="button" class="small" onClick=${leave}>
              ${t("train.leaveOut", { names: columns.join(", ") })}
            </button>`
          }
        </li>`;
      })}
    </ul>
  `;
