// A list that the API gives in pages: the newest one is asked for again, older ones are kept.

import { send } from "./api.js";
import { useAction, useLoad } from "./load.js";
import { useState } from "./ui.js";

/**
 * Load the first page of `call`, whose items are the member `list`, and return what `useLoad` does
 * with `shown`, all items once, by `idOf`; `more`, which loads the next page, or null after the
 * last one; and `moreProblem`. `later` is the query of the pages after the first.
 */
export function usePages(call, { list, idOf, every, later = call.query }) {
  const first = useLoad(call, { every });
  const [older, setOlder] = useState({ items: [], token: undefined });
  const token = older.token === undefined ? first.data?.next_page_token : older.token;
  const next = useAction(async () => {
    const { data } = await send({ ...call, query: { ...later, page_token: token } });
    setOlder({ items: [...older.items, ...data[list]], token: data.next_page_token });
  });
  const newest = first.data?.[list] ?? [];
  const known = new Set(newest.map(idOf));
  return {
    ...first,
    shown: [...newest, ...older.items.filter((item) => !known.has(idOf(item)))],
    more: token ? next.run : null,
    isBusy: next.busy,
    moreProblem: next.problem,
  };
}
