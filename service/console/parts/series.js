// Lines over time, drawn by uPlot.

import { language, t } from "../lib/text.js";
import { html, useEffect, useLayoutEffect, useRef } from "../lib/ui.js";

const HEIGHT = 200;

/** Seconds that are shown at least, so that the first lines do not fill the picture. */
const SHORTEST = 60;
const number = new Intl.NumberFormat(language, { maximumSignificantDigits: 3 });

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Draw `lines`, each `{ title, values, colour }`, over `at` (seconds since 1970); `least` is the
 * smallest height of the picture, in `unit`. */
export function Series({ title, unit, least, at, lines }) {
  const place = useRef(null);
  const plot = useRef(null);
  const shape = lines.map((line) => line.title).join("\n");
  const data = [at, ...lines.map(({ values }) => values)];

  useLayoutEffect(() => {
    const draw = () => {
      plot.current?.destroy();
      plot.current = new window.uPlot(
        options(place.current.clientWidth, unit, least, lines),
        data,
        place.current,
      );
    };
    const redraw = () => {
      draw();
      tellLatest(plot.current);
    };
    redraw();
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", redraw);
    const observer = new ResizeObserver(() =>
      plot.current.setSize({ width: place.current.clientWidth, height: HEIGHT }),
    );
    observer.observe(place.current);
    return () => {
      scheme.removeEventListener("change", redraw);
      observer.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => {
    plot.current.setData(data);
    tellLatest(plot.current);
  }, [at]);

  const last = lines.map((line) => `${line.title} ${latest(line.values)} ${unit}`).join(", ");
  return html`
    <figure class="series">
      <figcaption>${title}</figcaption>
      <div ref=${place} role="img" aria-label=${`${title}: ${last}`}></div>
    </figure>
  `;
}

/** Show the latest values in the legend while no others are pointed at. */
function tellLatest(plot) {
  if (plot.cursor.left < 0 || plot.cursor.left == null)
    plot.setLegend({ idx: plot.data[0].length - 1 });
}

const latest = (values) => (values.at(-1) == null ? t("none") : number.format(values.at(-1)));

function options(width, unit, least, lines) {
  const axis = {
    stroke: colour("--quiet"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
  };
  const clock = new Intl.DateTimeFormat(language, { timeStyle: "medium" });
  return {
    width,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false } },
    scales: {
      x: { range: (_, first, last) => [Math.min(first, last - SHORTEST), last] },
      y: { range: (_, low, high) => [0, Math.max(high ?? 0, least) * 1.1] },
    },
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
