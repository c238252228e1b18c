// Preact, its hooks and htm, which are loaded before any module and set globals: the policy allows
// no inline import map, and their modules name one another without an address.

const { h, render } = window.preact;
const { useState, useEffect, useLayoutEffect, useMemo, useRef, useCallback, useId } =
  window.preactHooks;

export const html = window.htm.bind(h);
export { render, useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState };

/** Return the class names whose condition holds: `names({ a: true, b: false })` is `"a"`. */
export const names = (wanted) =>
  Object.keys(wanted)
    .filter((name) => wanted[name])
    .join(" ");
