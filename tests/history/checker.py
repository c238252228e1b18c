"""Checks a history against the guarantee on changes of the model in use.

A pure function. A change that was not acknowledged may take effect at any later time, or never,
and in one replica before another: only an answer of 200 binds all replicas.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from tests.history.history import Operation


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, and the operations that show it."""

    rule: str
    sentence: str
    operations: tuple[Operation, ...]


def check(history: Iterable[Operation]) -> list[Violation]:
    """Return every violation, sorted by rule."""
    reads: list[Operation] = []
    uses: list[Operation] = []
    for one in history:
        if one.kind == "use":
            uses.append(one)
        elif one.outcome == "ok":
            reads.append(one)
    reads.sort(key=lambda one: one.start)
    acknowledged = [use for use in uses if use.outcome == "acknowledged"]
    found = [
        *_torn(reads, uses),
        *_of_one_model(reads, uses),
        *_sticky(reads),
        *_compare_and_set(uses),
        *_order_of_changes(acknowledged, uses),
        *_stale(reads, acknowledged),
        *_future(reads, uses),
        *_back(reads, {use.epoch for use in acknowledged}),
    ]
    return sorted(found, key=lambda violation: violation.rule)


def unavailability(history: Iterable[Operation]) -> Counter[str]:
    """Count the predictions that failed, by reason; they are not violations."""
    return Counter(one.reason for one in history if one.kind == "read" and one.outcome == "failed")


def _torn(reads: Sequence[Operation], uses: Sequence[Operation]) -> Iterable[Violation]:
    """Find answers whose parts name different models, and epochs of more than one change."""
    meaning: dict[int, Operation] = {}
    for use in uses:
        if use.epoch and use.outcome in ("acknowledged", "committed"):
            first = meaning.setdefault(use.epoch, use)
            if first is not use:
                yield Violation("one-epoch-one-change", f"{use.epoch} is of two", (first, use))
    for read in reads:
        if not read.model == read.body == read.label or read.epoch < 1:
            yield Violation(
                "torn",
                f"headers say {read.model} at {read.epoch}, the body {read.body}, and the "
                f"prediction is that of {read.label}",
                (read,),
            )
        if read.epoch < read.minimum:
            yield Violation(
                "below-minimum", f"{read.epoch} is below X-Min-Epoch {read.minimum}", (read,)
            )


def _of_one_model(reads: Sequence[Operation], uses: Sequence[Operation]) -> Iterable[Violation]:
    """Find epochs that were answered by another model than theirs, or than their two of a split."""
    known = {
        use.epoch: use for use in uses if use.outcome in ("acknowledged", "committed") and use.epoch
    }
    maybe_second = {use.second for use in uses if use.outcome == "unknown"} - {""}
    seen: dict[int, dict[str, Operation]] = defaultdict(dict)
    for read in reads:
        seen[read.epoch].setdefault(read.model, read)
    for epoch, by_model in seen.items():
        models, use = set(by_model), known.get(epoch)
        if use is not None:
            wrong = models - {use.model, use.second}
        else:  # a change of unknown outcome: of one model, or of two where it was a split
            wrong = set(sorted(models - maybe_second)[1:]) or set(sorted(models)[2:])
        for model in sorted(wrong):
            told = " or ".join(sorted(models - {model})) if use is None else use.model
            shown = (by_model[model],) if use is None else (use, by_model[model])
            yield Violation("one-epoch-one-model", f"epoch {epoch} is {told} and {model}", shown)


def _sticky(reads: Sequence[Operation]) -> Iterable[Violation]:
    """Find clients that were answered by both versions of a split within one epoch."""
    first_of: dict[tuple[int, str], Operation] = {}
    for read in reads:
        first = first_of.setdefault((read.epoch, read.key), read)
        if read.key and first.model != read.model:
            yield Violation(
                "key-of-both",
                f"{read.key} was answered by {first.model} and {read.model} in epoch {read.epoch}",
                (first, read),
            )


def _compare_and_set(uses: Sequence[Operation]) -> Iterable[Violation]:
    """Check that of the changes that expect the same epoch only one succeeds, and follows it."""
    winners: dict[int, Operation] = {}
    for use in uses:
        if use.expected is None or use.outcome not in ("acknowledged", "committed"):
            continue
        first = winners.setdefault(use.expected, use)
        if first is not use:
            yield Violation("two-winners", f"two changes follow epoch {use.expected}", (first, use))
        if use.previous is not None and use.previous != use.expected:
            yield Violation(
                "wrong-winner", f"{use.expected} was expected, {use.previous} came before", (use,)
            )


def _order_of_changes(
    acknowledged: Sequence[Operation], uses: Sequence[Operation]
) -> Iterable[Violation]:
    """Check that a change requested after an acknowledged one gets a higher epoch."""
    floors = _Floors(acknowledged)
    for use in sorted(uses, key=lambda use: use.start):
        floor = floors.before(use.start)
        if floor is None or use.outcome not in ("acknowledged", "committed"):
            continue
        if use.epoch <= floor.epoch or (use.previous or floor.epoch) < floor.epoch:
            yield Violation(
                "changes-out-of-order",
                f"{use.epoch} (after {use.previous}) was asked for after {floor.epoch} was there",
                (floor, use),
            )


def _stale(reads: Sequence[Operation], acknowledged: Sequence[Operation]) -> Iterable[Violation]:
    """Check that after an acknowledgement no prediction comes from an older model."""
    floors = _Floors(acknowledged)
    for read in reads:
        floor = floors.before(read.start)
        if floor is not None and read.epoch < floor.epoch:
            yield Violation(
                "stale-after-acknowledgement",
                f"{read.replica} answered from epoch {read.epoch} to a request of "
                f"{(read.start - floor.end) * 1000:.1f} ms after {floor.epoch} was acknowledged",
                (floor, read),
            )


def _future(reads: Sequence[Operation], uses: Sequence[Operation]) -> Iterable[Violation]:
    """Check that no prediction comes from a change before its request, or that never happened."""
    known = {
        use.epoch: use for use in uses if use.outcome in ("acknowledged", "committed") and use.epoch
    }
    first_seen: dict[int, Operation] = {}
    for read in reads:
        first = first_seen.get(read.epoch)
        if first is None or read.end < first.end:
            first_seen[read.epoch] = read
    unexplained: dict[str, list[Operation]] = defaultdict(list)
    for epoch, read in first_seen.items():
        use = known.get(epoch)
        if use is None:
            unexplained[read.model].append(read)
        elif read.end < use.start:
            yield Violation(
                "from-the-future", f"epoch {epoch} was read before it was asked for", (read, use)
            )
    # Each change of unknown outcome can explain one epoch. The k-th epoch that is seen needs k of
    # them before it.
    for model, seen in unexplained.items():
        maybe = sorted(
            (use for use in uses if use.outcome == "unknown" and use.model in (model, "")),
            key=lambda use: use.start,
        )
        for k, read in enumerate(sorted(seen, key=lambda read: read.end)):
            if k >= len(maybe) or read.end < maybe[k].start:
                denied = [
                    use
                    for use in uses
                    if use.outcome == "unchanged" and use.model == model and use.start < read.end
                ]
                yield Violation(
                    "from-nowhere",
                    f"epoch {read.epoch} was read, and no change to {model} explains it",
                    (read, *denied[-1:]),
                )


def _back(reads: Sequence[Operation], settled: Set[int]) -> Iterable[Violation]:
    """Check that no epoch decreases: in a replica, for a client, or from one client to the next.

    Between replicas that holds for acknowledged epochs: all replicas swap in one hold, unless one
    of them fell silent, and then the change is not acknowledged.
    """
    of_replica: dict[str, list[Operation]] = defaultdict(list)
    last_of_client: dict[str, Operation] = {}
    for read in reads:
        of_replica[read.replica].append(read)
        last = last_of_client.get(read.client)
        if last is not None and read.epoch < last.epoch and read.start >= last.end:
            yield Violation(
                "client-went-back",
                f"{read.client} saw {last.epoch} from {last.replica}, then {read.epoch} from "
                f"{read.replica}",
                (last, read),
            )
        if read.epoch in settled and (last is None or read.epoch > last.epoch):
            last_of_client[read.client] = read
    for replica, its in of_replica.items():
        yield from _falling(its, its, "replica-went-back", replica)
    yield from _falling(reads, [r for r in reads if r.epoch in settled], "went-back", "somebody")


def _falling(
    reads: Sequence[Operation], marks: Sequence[Operation], rule: str, who: str
) -> Iterable[Violation]:
    floors = _Floors(marks)
    for read in reads:
        floor = floors.before(read.start)
        if floor is not None and read.epoch < floor.epoch:
            yield Violation(
                rule,
                f"{who} answered from epoch {read.epoch} ({read.replica}) to a request of "
                f"{(read.start - floor.end) * 1000:.1f} ms after an answer from {floor.epoch} "
                f"({floor.replica})",
                (floor, read),
            )


class _Floors:
    """The highest epoch of all operations that had ended by a time; called with rising times."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._ended = sorted(operations, key=lambda one: one.end)
        self._next = 0
        self._highest: Operation | None = None

    def before(self, time: float) -> Operation | None:
        """Return the highest epoch of the operations that ended before `time`."""
        ended, highest = self._ended, self._highest
        while self._next < len(ended) and ended[self._next].end < time:
            one = ended[self._next]
            if highest is None or one.epoch > highest.epoch:
                highest = one
            self._next += 1
        self._highest = highest
        return highest
