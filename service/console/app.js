// The frame around every page: where one is, what is in use, and whether the service answers.

import { connected, key, keyNeeded, refresh, revision, setKey } from "./lib/api.js";
import { useLoad } from "./lib/load.js";
import { address, useRoute } from "./lib/router.js";
import { useStore } from "./lib/store.js";
import { language, t } from "./lib/text.js";
import { html, render, useEffect, useRef } from "./lib/ui.js";
import { access, KeyDialog, useAccess } from "./parts/access.js";
import { LastChange } from "./parts/use.js";
import { Compare } from "./pages/compare.js";
import { DataSet, DataSets } from "./pages/data.js";
import { Models } from "./pages/models.js";
import { Predict } from "./pages/predict.js";
import { Train } from "./pages/train.js";
import { Training } from "./pages/training.js";
import { Version } from "./pages/version.js";
import { Watch } from "./pages/watch.js";

const PAGES = {
  predict: { title: () => t("nav.predict"), page: Predict },
  train: {
    title: ([id]) => (id ? t("training.title") : t("nav.train")),
    page: ({ parts: [id], query }) =>
      id ? html`<${Training} id=${id} />` : html`<${Train} query=${query} />`,
  },
  models: {
    title: ([name, version]) => (version ? `${name} ${version}` : t("nav.models")),
    page: ({ parts: [name, version], query }) =>
      version
        ? html`<${Version} name=${name} version=${version} query=${query} />`
        : html`<${Models} query=${query} />`,
  },
  compare: { title: () => t("compare.title"), page: Compare },
  data: {
    title: ([name]) => name ?? t("nav.data"),
    page: ({ parts: [name] }) => (name ? html`<${DataSet} name=${name} />` : html`<${DataSets} />`),
  },
  watch: { title: () => t("nav.watch"), page: Watch },
};
const NAVIGATION = ["predict", "train", "models", "data", "watch"];
const RETRY_MILLISECONDS = 2000;

/** Ask whether the service is back, and then for everything on the page again. */
function useReconnect() {
  const up = useStore(connected);
  useEffect(() => {
    if (up) return undefined;
    const timer = setInterval(async () => {
      const back = await fetch("/healthz").then(
        ({ ok }) => ok,
        () => false,
      );
      if (!back) return;
      connected.set(true);
      refresh();
    }, RETRY_MILLISECONDS);
    return () => clearInterval(timer);
  }, [up]);
  return up;
}

function InUse() {
  const { data, problem } = useLoad({ path: ["readyz"] }, { every: 5_000 });
  if (data) {
    return html`<a class="in-use" href=${address(["models", data.model, String(data.version)])}>
      <span class="quiet">${t("inUse")}</span> <bdi>${data.model}</bdi> ${data.version}
    </a>`;
  }
  return html`<span class="in-use quiet">${problem?.status === 503 ? t("inUse.none") : ""}</span>`;
}

function KeyState() {
  const may = useStore(access);
  const has = useStore(key) !== null;
  if (!has && !may?.keys) {
    // Without a key nothing is known where keys are needed: there has to be a way to give one.
    return may === null
      ? html`<button type="button" class="small" onClick=${() => keyNeeded.set(true)}>
          ${t("key.give")}
        </button>`
      : null;
  }
  return html`
    <span class="quiet">${may ? t("key.role", { role: may.role }) : ""}</span>
    <button type="button" class="small" onClick=${() => keyNeeded.set(true)}>
      ${t("key.change")}
    </button>
    ${has && html`<button type="button" class="small" onClick=${() => setKey(null)}>${t("key.forget")}</button>`}
  `;
}

function App() {
  const { path, query } = useRoute();
  const up = useReconnect();
  useAccess();
  const [first, ...parts] = path;
  const { title, page: Page } = PAGES[first] ?? PAGES.predict;
  const heading = title(parts);
  const main = useRef(null);
  const section = { compare: "models" }[first] ?? (PAGES[first] ? first : "predict");
  const place = path.join("/");
  const shown = useRef(place);
  useEffect(() => {
    document.title = `${heading} · mlops-desafio`;
    if (shown.current === place) return; // the first page keeps the focus where the browser put it
    shown.current = place;
    main.current.querySelector("h1").focus();
    scrollTo(0, 0);
  }, [place, heading]);
  useStore(revision);
  return html`
    <a
      class="skip"
      href="#main"
      onClick=${(event) => {
        event.preventDefault();
        main.current.querySelector("h1").focus();
      }}
      >${t("skip")}</a
    >
    <header class="frame">
      <a class="name" href="#/predict">mlops-desafio</a>
      <nav aria-label=${t("nav.label")}>
        ${NAVIGATION.map(
          (name) =>
            html`<a href=${address([name])} aria-current=${section === name ? "page" : undefined}
              >${t(`nav.${name}`)}</a
            >`,
        )}
      </nav>
      <div class="state"><${InUse} /><${KeyState} /></div>
    </header>
    ${!up && html`<p class="banner" role="alert">${t("connection.lost")}</p>`}
    <main ref=${main}>
      <${LastChange} />
      <h1 tabindex="-1"><bdi>${heading}</bdi></h1>
      <${Page} parts=${parts} query=${query} key=${PAGES[first] ? place : ""} />
    </main>
    <footer>
      <a href="/docs">${t("footer.api")}</a>
      <a href="/openapi.json">OpenAPI</a>
      <a href="/metrics">${t("footer.metrics")}</a>
    </footer>
    <${KeyDialog} />
  `;
}

document.documentElement.lang = language;
render(html`<${App} />`, document.getElementById("app"));
