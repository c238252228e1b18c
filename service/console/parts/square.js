// A square from 0 to 1 both ways, with a diagonal to compare with.

import { html } from "../lib/ui.js";

const SIZE = 220;
const EDGE = 34;

/** Return where a share is on either axis, in the units of the picture. */
export const at = (share) => share * SIZE;

export const Square = ({ title, x, y, children }) => html`
  <svg
    viewBox=${`${-EDGE} -8 ${SIZE + EDGE + 10} ${SIZE + EDGE + 8}`}
    role="img"
    aria-label=${title}
    class="plot"
  >
    <path class="axis" d=${`M0 0V${SIZE}H${SIZE}`} />
    <path class="diagonal" d=${`M0 ${SIZE}L${SIZE} 0`} />
    ${[0, 0.5, 1].map(
      (tick) => html`
        <text x=${at(tick)} y=${SIZE + 14} text-anchor="middle">${tick}</text>
        <text x="-6" y=${at(1 - tick) + 4} text-anchor="end">${tick}</text>
      `,
    )}
    <text x=${SIZE / 2} y=${SIZE + 28} text-anchor="middle">${x}</text>
    <text transform=${`translate(-24 ${SIZE / 2}) rotate(-90)`} text-anchor="middle">${y}</text>
    ${children}
  </svg>
`;
