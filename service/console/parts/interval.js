// A share with its 95 % interval, beside the bound that it has to reach.

import { formatFineShare } from "../lib/format.js";
import { html } from "../lib/ui.js";

const WIDTH = 300;
const EDGE = 24;
const BAR = 34;
const TICKS = 4;

/** Where the picture may begin: high shares differ in their last digits. */
const BEGINNINGS = [0.99, 0.9, 0.5];

/** Return the largest beginning that leaves everything to its right. */
const beginning = (least) => BEGINNINGS.find((each) => each < least) ?? 0;

/** `bound`, the least that is asked for, may be null. */
export function Interval({ title, value, low, high, bound }) {
  const from = beginning(Math.min(low, bound ?? 1));
  const at = (share) => ((share - from) / (1 - from)) * WIDTH;
  const ticks = Array.from({ length: TICKS + 1 }, (_, i) => from + (i / TICKS) * (1 - from));
  return html`
    <svg
      class="interval"
      viewBox=${`${-EDGE} 0 ${WIDTH + 2 * EDGE} 64`}
      role="img"
      aria-label=${title}
    >
      <path class="axis" d=${`M0 ${BAR + 9}H${WIDTH}`} />
      ${ticks.map(
        (tick) => html`
          <path class="axis" d=${`M${at(tick)} ${BAR + 9}v4`} />
          <text x=${at(tick)} y=${BAR + 25} text-anchor="middle">${formatFineShare(tick)}</text>
        `,
      )}
      <rect class="range" x=${at(low)} y=${BAR - 6} width=${at(high) - at(low)} height="12" />
      <circle class="dot series-0" cx=${at(value)} cy=${BAR} r="4.5" />
      ${
        bound !== null &&
        html`
          <path class="bound" d=${`M${at(bound)} 16V${BAR + 9}`} />
          <text x=${at(bound)} y="11" text-anchor=${at(bound) > WIDTH / 2 ? "end" : "start"}>
            ≥ ${formatFineShare(bound)}
          </text>
        `
      }
    </svg>
  `;
}
