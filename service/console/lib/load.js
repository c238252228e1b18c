// What a component shows of the API: asked for when it is drawn, and again when it may have changed.

import { revision, send } from "./api.js";
import { useStore } from "./store.js";
import { useCallback, useEffect, useRef, useState } from "./ui.js";

/**
 * Ask for `call` (null: nothing yet) and return `{ data, headers, problem, loading, reload }`.
 *
 * What was there stays while it is asked for again, also when that fails. With `every` it is asked
 * again after that many milliseconds, while the page is visible; `every` may be a function of the
 * data, and return null to stop.
 */
export function useLoad(call, { every = null } = {}) {
  const wanted = call && JSON.stringify(call);
  const [found, setFound] = useState({ loading: true });
  const [turn, setTurn] = useState(0);
  const current = useStore(revision);
  const interval = useRef(every);
  interval.current = every;

  useEffect(() => {
    if (wanted === null) return undefined;
    const abort = new AbortController();
    let timer = null;
    const again = (data) => {
      const wait =
        typeof interval.current === "function" ? interval.current(data) : interval.current;
      if (wait !== null && !abort.signal.aborted) timer = setTimeout(poll, wait);
    };
    async function poll() {
      if (document.hidden) again(null);
      else await ask();
    }
    async function ask() {
      let data = null;
      try {
        const reply = await send(JSON.parse(wanted), abort.signal);
        data = reply.data;
        setFound({ of: wanted, data, headers: reply.headers, loading: false });
      } catch (problem) {
        if (problem.name === "AbortError") return;
        setFound((before) => ({
          ...(before.of === wanted ? before : { of: wanted }),
          problem,
          loading: false,
        }));
      }
      again(data);
    }
    setFound((before) => (before.of === wanted ? before : { of: wanted, loading: true }));
    ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [wanted, turn, current]);

  const reload = useCallback(() => setTurn((before) => before + 1), []);
  return { ...(found.of === wanted ? found : { loading: wanted !== null }), reload };
}

/** Return a function that makes one call at a time, and what became of the last one. */
export function useAction(act) {
  const [state, setState] = useState({ busy: false, problem: null, result: null });
  const alive = useRef(true);
  useEffect(() => () => void (alive.current = false), []);
  const run = async (...args) => {
    setState({ busy: true, problem: null, result: null });
    try {
      const result = await act(...args);
      if (alive.current) setState({ busy: false, problem: null, result });
      return result;
    } catch (problem) {
      const told = problem.name === "AbortError" ? null : problem;
      if (alive.current) setState({ busy: false, problem: told, result: null });
      return undefined;
    }
  };
  const clear = () => setState({ busy: false, problem: null, result: null });
  return { ...state, run, clear };
}

/** Return a value once it has not changed for some milliseconds. */
export function useSettled(value, milliseconds) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return settled;
}
