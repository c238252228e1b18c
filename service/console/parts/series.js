// Lines over time, drawn by uPlot.

import { language, t } from "../lib/text.js";
import { html, useEffect, useLayoutEffect, useRef } from "../lib/ui.js";

const HEIGHT = 200;
const number = new Intl.NumberFormat(language, { maximumSignificantDigits: 3 });

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Draw `lines`, each `{ title, values, colour }`, over `at` (seconds since 1970). */
export function Series({ title, unit, at, lines }) {
  const place = useRef(null);
  const plot = useRef(null);
  const shape = lines.map((line) => line.title).join("\n");
  const data = [at, ...lines.map(({ values }) => values)];

  useLayoutEffect(() => {
    const draw = () => {
      plot.current?.destroy();
      plot.current = new window.uPlot(options(place.current.clientWidth, unit, lines), data, place.current);
    };
    draw();
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    const observer = new ResizeObserver(() => plot.current.setSize({ width: place.current.clientWidth, height: HEIGHT }));
    observer.observe(place.current);
    return () => {
      scheme.removeEventListener("change", draw);
      observer.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(data), [at]);

  const last = lines.map((line) => `${line.title} ${latest(line.values)} ${unit}`).join(", ");
  return html`
    <figure class="series">
      <figcaption>${title}</figcaption>
      <div ref=${place} role="img" aria-label=${`${title}: ${last}`}></div>
    </figure>
  `;
}

const latest = (values) => (values.at(-1) == null ? t("none") : number.format(values.at(-1)));

function options(width, unit, lines) {
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
  const clock = new Intl.DateTimeFormat(language, { timeStyle: "medium" });
  return {
    width,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false } },
    scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 0, 1e-9) * 1.1] } },
    axes: [
      { ...axis, values: (_, ticks) => ticks.map((tick) => clock.format(tick * 1000)), space: 90 },
      { ...axis, values: (_, ticks) => ticks.map((tick) => number.format(tick)), size: 56 },
    ],
    series: [
      { label: t("time"), value: (_, value) => (value == null ? "" : clock.format(value * 1000)) },
      ...lines.map((line) => ({
        label: line.title,
        stroke: colour(line.colour),
        width: 1.5,
        points: { show: false },
        value: (_, value) => (value == null ? "" : `${number.format(value)} ${unit}`),
      })),
    ],
  };
}
