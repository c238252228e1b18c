// One instance as a form. What differs from the version's example is kept in the address.

import { revision, send } from "../lib/api.js";
import { formatNumber, formatShare, spell } from "../lib/format.js";
import { useSettled } from "../lib/load.js";
import { useStore } from "../lib/store.js";
import { formatCount, t } from "../lib/text.js";
import { html, useEffect, useMemo, useState } from "../lib/ui.js";
import { Card } from "../parts/basics.js";
import { SearchField } from "../parts/fields.js";
import { Curl } from "../parts/curl.js";
import { errorAt, Problem } from "../parts/problem.js";
import { FeatureField } from "./feature_field.js";

const FIRST = 24;
const FOUND = 24;
const MOST_CLASSES = 12;
const TYPING_MILLISECONDS = 120;

/** Return the changes that an address holds; those that cannot be read, or of no feature, are none. */
function parseChanges(text, features) {
  try {
    const values = JSON.parse(text ?? "{}");
    return Object.fromEntries(
      features
        .filter(({ name }) => Object.hasOwn(values, name))
        .map(({ name }) => [name, values[name]]),
    );
  } catch {
    return {};
  }
}

/** Return the features, those first that tell the classes apart best. */
const byImportance = (features) =>
  features
    .map((feature, i) => [feature, i])
    .sort(([a, i], [b, k]) => (b.importance ?? 0) - (a.importance ?? 0) || i - k)
    .map(([feature]) => feature);

/** Return the example as an object: one of many features may be an array in their order. */
function exampleOf({ features, example }) {
  const [instance] = example.instances;
  if (!Array.isArray(instance)) return instance;
  return Object.fromEntries(features.map(({ name }, i) => [name, instance[i]]));
}

function useAnswer(call) {
  const settled = useSettled(JSON.stringify(call), TYPING_MILLISECONDS);
  const current = useStore(revision);
  const [answer, setAnswer] = useState({});
  useEffect(() => {
    const abort = new AbortController();
    const start = performance.now();
    send(JSON.parse(settled), abort.signal).then(
      ({ data }) => setAnswer({ data, seconds: (performance.now() - start) / 1000 }),
      (problem) => problem.name !== "AbortError" && setAnswer({ problem }),
    );
    return () => abort.abort();
  }, [settled, current]);
  return answer;
}

export function PredictForm({ contract, route, changed, onChange }) {
  const { features } = contract;
  const ordered = useMemo(
    () => (features.length > FIRST ? byImportance(features) : features),
    [features],
  );
  const example = useMemo(() => exampleOf(contract), [contract]);
  const [changes, setChanges] = useState(() => parseChanges(changed, features));
  const [wanted, setWanted] = useState("");
  const call = {
    method: "POST",
    path: route,
    json: {
      instances: [{ ...example, ...changes }],
      probabilities: contract.probabilities !== false,
    },
  };
  const answer = useAnswer(call);

  const set = (name, value) => {
    const next = { ...changes, [name]: value };
    if (value === example[name]) delete next[name];
    setChanges(next);
    onChange(Object.keys(next).length > 0 ? JSON.stringify(next) : null);
  };
  const shown = shownFeatures(ordered, changes, wanted);
  const names = new Set(shown.map(({ name }) => name));
  return html`
    <div class="predict">
      <${Card}
        title=${t("predict.features")}
        aside=${html` ${
          Object.keys(changes).length > 0 &&
          html`<button
            type="button"
            class="small"
            onClick=${() => {
              setChanges({});
              onChange(null);
            }}
          >
            ${t("predict.reset")}
          </button>`
        }`}
      >
        ${
          features.length > FIRST &&
          html`
            <${SearchField}
              label=${t("predict.find")}
              hint=${t("predict.shown", { n: formatCount(shown.length), all: formatCount(features.length) })}
              value=${wanted}
              onInput=${setWanted}
            />
          `
        }
        <form class="features" onSubmit=${(event) => event.preventDefault()}>
          ${shown.map(
            (feature) =>
              html`<${FeatureField}
                key=${feature.name}
                feature=${feature}
                value=${{ ...example, ...changes }[feature.name] ?? null}
                error=${errorAt(answer.problem, "instances", 0, feature.name)}
                onChange=${(value) => set(feature.name, value)}
              />`,
          )}
        </form>
      <//>
      <div class="answer">
        <${Card} title=${t("predict.answer")}>
          <div aria-live="polite">
            ${answer.data && html`<${Answer} reply=${answer.data} seconds=${answer.seconds} />`}
            ${answer.problem && html`<${AnswerProblem} problem=${answer.problem} names=${names} />`}
          </div>
        <//>
        <${Curl} call=${call} open=${features.length <= 12} />
      </div>
    </div>
  `;
}

/** Return the fields to show: what is searched for, else what was changed and what matters most. */
function shownFeatures(ordered, changes, wanted) {
  if (ordered.length <= FIRST) return ordered;
  const text = wanted.trim().toLowerCase();
  if (text) return ordered.filter(({ name }) => name.toLowerCase().includes(text)).slice(0, FOUND);
  return ordered
    .filter(({ name }, i) => i < FIRST || Object.hasOwn(changes, name))
    .slice(0, 2 * FIRST);
}

const pointerName = (pointer) =>
  pointer.replace("/instances/0/", "").replaceAll("~1", "/").replaceAll("~0", "~");

const AnswerProblem = ({ problem, names }) => {
  // What is shown at its field is not told twice.
  const everywhere =
    problem.errors.length > 0 &&
    problem.errors.every(({ pointer }) => names.has(pointerName(pointer)));
  return everywhere
    ? html`<p class="quiet">${t("predict.seeFields")}</p>`
    : html`<${Problem}
        problem=${problem}
        placed=${(pointer) => names.has(pointerName(pointer))}
      />`;
};

function Answer({ reply, seconds }) {
  const { predictions, classes, probabilities, model, version } = reply;
  const ranked = classes
    ?.map((label, i) => [spell(label), probabilities[0][i]])
    .sort(([, a], [, b]) => b - a);
  return html`
    <p class="label"><bdi>${spell(predictions[0]) || t("predict.emptyLabel")}</bdi></p>
    ${
      ranked
        ? html`
            <ul class="bars">
              ${ranked.slice(0, MOST_CLASSES).map(
                ([label, share]) => html`
                  <li>
                    <span class="name"><bdi>${label}</bdi></span>
                    <meter min="0" max="1" value=${share} aria-label=${label}></meter>
                    <span class="number">${formatShare(share)}</span>
                  </li>
                `,
              )}
            </ul>
            ${
              ranked.length > MOST_CLASSES &&
              html`<p class="quiet">
                ${t("predict.moreClasses", { n: formatCount(ranked.length - MOST_CLASSES) })}
              </p>`
            }
          `
        : html`<p class="quiet">${t("predict.noProbabilities")}</p>`
    }
    <p class="quiet">${t("predict.by", { model, version, ms: formatNumber(seconds * 1000) })}</p>
  `;
}
