// Counters of replicas, as `GET /figures` gives them, turned into rates and latencies over time.

/** Samples that are kept: with one every two seconds, ten minutes. */
const KEPT = 300;

/**
 * Return a series by replica. `take(figures, at)` adds an answer; `series()` gives
 * `[{ id, at: [seconds], rate: [per second], refused: [per second], p50: [ms], p95: [ms], p99: [ms] }]`.
 */
export function rates() {
  const replicas = new Map();
  return {
    take({ replicas: answers }, at) {
      for (const answer of answers) {
        const known = replicas.get(answer.id) ?? { id: answer.id, last: null, points: [] };
        if (known.last && at > known.last.at)
          known.points = [...known.points, point(known.last, answer, at)].slice(-KEPT);
        known.last = { at, answer };
        replicas.set(answer.id, known);
      }
    },
    series: () => [...replicas.values()].map(({ id, points }) => ({ id, points })),
  };
}

function point({ at: before, answer: old }, now, at) {
  const seconds = at - before;
  const since = (name) => Math.max(0, now.requests[name] - old.requests[name]) / seconds;
  const counts = now.latency.counts.map((count, i) => Math.max(0, count - old.latency.counts[i]));
  const milliseconds = (share) => quantile(now.latency.bounds, counts, share);
  return {
    at,
    rate: since("ok"),
    refused: since("invalid") + since("refused") + since("error"),
    p50: milliseconds(0.5),
    p95: milliseconds(0.95),
    p99: milliseconds(0.99),
  };
}

/** Return a quantile in ms of counts in buckets, linear within a bucket as Prometheus has it; null of none. */
function quantile(bounds, counts, share) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let left = share * total;
  for (const [i, count] of counts.entries()) {
    if (left <= count && count > 0) {
      const low = i === 0 ? 0 : bounds[i - 1];
      const high = bounds[i] ?? low; // beyond the last bound nothing is known but that
      return 1000 * (low + (high - low) * (left / count));
    }
    left -= count;
  }
  return 1000 * bounds.at(-1);
}
