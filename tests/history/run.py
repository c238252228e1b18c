"""A run: clients, optional faults, and the resulting history."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.history.checker import Violation, check, unavailability
from tests.history.clients import Balancer, Reader
from tests.history.cluster import Cluster
from tests.history.history import Operation
from tests.history.mover import Mover
from tests.history.nemesis import Event, Nemesis
from tests.history.protocols import INFERENCE, SCORING
from tests.history.writers import Writer, let_prove, use_acknowledged
from tests.support.waiting import wait_until

AGREEMENT_SECONDS = 10.0
"""How soon after the last fault all replicas must serve the newest epoch."""
ENOUGH_SECONDS = 60.0
PROMOTION_SECONDS = 60.0
"""How long the rules may take to promote a version, on a busy machine too."""


@dataclass(slots=True)
class Run:
    """A history while it is recorded."""

    history: list[Operation] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    agreed_after: float = 0.0
    """Seconds from the end of the last fault to the moment when all served one epoch."""

    @property
    def uses(self) -> list[Operation]:
        """Return the changes."""
        return [one for one in self.history if one.kind == "use"]

    def count(self, outcome: str) -> int:
        """Count the changes of an outcome."""
        return sum(one.outcome == outcome for one in self.uses)

    def violations(self) -> list[Violation]:
        """Check the history."""
        return check(self.history)

    def latencies(self) -> list[float]:
        """Return the durations of predictions in seconds, sorted."""
        return sorted(
            one.end - one.start
            for one in self.history
            if one.kind == "read" and one.outcome == "ok"
        )

    def acknowledgements(self) -> list[float]:
        """Return the durations of acknowledged changes in seconds, sorted."""
        return sorted(use.end - use.start for use in self.uses if use.outcome == "acknowledged")

    def summary(self) -> str:
        """Return a summary in a paragraph."""
        reads = self.latencies()
        acks = self.acknowledgements()
        outcomes = ", ".join(
            f"{count} {outcome}"
            for outcome in ("acknowledged", "committed", "unchanged", "unknown")
            if (count := self.count(outcome))
        )
        failed = unavailability(self.history)
        lines = [
            f"{len(reads)} predictions, {failed.total()} failed"
            + "".join(f"; {count} {reason}" for reason, count in failed.most_common()),
            f"{len(self.uses)} changes: {outcomes}",
            f"{len(self.events)} faults; all agreed {self.agreed_after:.2f} s after the end",
            f"predictions: p50 {at(reads, 0.5) * 1000:.2f} ms, p99 {at(reads, 0.99) * 1000:.2f} ms",
            f"acknowledgements: p50 {at(acks, 0.5):.3f} s, p99 {at(acks, 0.99):.3f} s",
        ]
        return "\n".join(lines)


def at(values: Sequence[float], share: float) -> float:
    """Return the quantile of sorted values; 0 where there are none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def describe(violations: Sequence[Violation], most: int = 10) -> str:
    """Return the first violations as lines, with their operations."""
    lines = [f"{len(violations)} violations"]
    for violation in violations[:most]:
        lines.append(f"{violation.rule}: {violation.sentence}")
        lines += [f"    {one}" for one in violation.operations]
    return "\n".join(lines)


def execute(
    cluster: Cluster,
    versions: Sequence[int],
    seconds: float,
    *,
    rate: float = 200,
    pauses: Sequence[float] = (1.0, 1.0, 1.0),
    changes: int = 10_000,
    nemesis: Nemesis | None = None,
    faults: Sequence[str] = (),
    fault_pause: float = 1.0,
    seed: int = 1,
    mover: Mover | None = None,
    splits: bool = False,
    prove: int | None = None,
    enough: Callable[[Run], bool] = lambda _: True,
) -> Run:
    """Run readers and writers for this many seconds, or until all faults or moves are over.

    `pauses`: of a writer without compare-and-set, then of those with it. Empty: no changes.
    `splits`: they also put a second version beside the one in use, to answer a share of the clients
    or to be promoted by its rules. `prove`: a version that is put there once, and promoted.
    `enough`: what the run must have seen before it ends, also where a machine is busy.
    """
    run = Run()
    # The first change precedes all reads, so that the history explains what any reader sees.
    run.history.append(use_acknowledged("first", cluster.replicas[0], versions[0]))
    balancer = Balancer(cluster.replicas)
    readers = [
        Reader(f"pinned to {one.name}", lambda one=one: one, rate / 5, run.history.append)  # type: ignore[misc]
        for one in cluster.replicas
    ]
    readers += [
        Reader(
            f"{name} of {one.name}", lambda one=one: one, rate / 10, run.history.append,  # type: ignore[misc]
            protocol=protocol,
        )
        for one in cluster.replicas
        for name, protocol in (("V2", INFERENCE), ("MLflow", SCORING))
    ]  # fmt: skip
    readers += [
        Reader(
            "V2, balanced, no older",
            balancer.pick,
            rate / 10,
            run.history.append,
            minimum=True,
            protocol=INFERENCE,
        ),
        Reader("balanced", balancer.pick, rate / 5, run.history.append),
        Reader("balanced, no older", balancer.pick, rate / 5, run.history.append, minimum=True),
    ]
    writers = [
        Writer(
            f"writer {i}", cluster.replicas, versions, pause, run.history.append,
            seed + i, compare_and_set=i > 0, splits=splits,
        )
        for i, pause in enumerate(pauses)
    ]  # fmt: skip
    with _threads([balancer.probe, *(reader.run for reader in readers)]) as stop_reading:
        work: list[Callable[[threading.Event], None]] = [
            lambda stop, one=one: one.run(stop, -(-changes // len(writers)))  # type: ignore[misc]
            for one in writers
        ]
        with _threads(work) as stop_writing:
            if prove is not None:
                run.history += let_prove("prover", cluster.replicas[0], prove)
                newest = max(one.epoch for one in run.uses)
                wait_until(lambda: cluster.agree(newest + 1), PROMOTION_SECONDS)
            elif mover is not None:
                mover.run(stop_writing, run.history.append)
            elif nemesis is None:
                stop_writing.wait(seconds)
                wait_until(lambda: enough(run), ENOUGH_SECONDS)
            else:
                nemesis.run(stop_writing, faults, fault_pause)
        mended = time.monotonic()
        if nemesis is not None:
            run.events = nemesis.events
        newest = max(one.epoch for one in run.uses)
        wait_until(lambda: cluster.agree(newest), AGREEMENT_SECONDS + 5)
        run.agreed_after = time.monotonic() - mended
        # Once more, to check that the agreement lasts.
        stop_reading.wait(1)
    return run


@contextmanager
def _threads(
    work: Sequence[Callable[[threading.Event], None]],
) -> Iterator[threading.Event]:
    """Run each in a thread while the block runs; then stop and wait for them."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=one, args=(stop,), name=f"work {i}") for i, one in enumerate(work)
    ]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive(), thread
