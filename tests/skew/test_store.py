"""A restart loses a minute of counts at most, in a service alone and in one of several."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from service.common.errors import RegistryUnavailable
from service.skew.keeper import Keeper
from service.skew.store import Store
from service.skew.stored import decode, encode
from service.skew.tallies import Tallies
from service.skew.tally import Tally
from service.skew.windows import DAY, HOUR, LONGEST, MINUTE, Windows
from tests.support.fakes import FakeRegistry, make_version
from tests.support.references import FAR_MORE, MIXED, FakeClock, mixed_rows, reference_of
from tests.support.registered import open_training

SCHEMA, REFERENCE = reference_of(MIXED, mixed_rows(100), np.array([5, 5]))


class Replica:
    """One process that counts the rows of one version."""

    def __init__(self, registry: FakeRegistry, run: str, own: str, clock: FakeClock) -> None:
        self.tallies = Tallies(FAR_MORE, clock)
        self.store = Store(registry, own, clock, clock)
        self.keeper = Keeper(self.tallies, self.store, clock)
        self._version = make_version(run_id=run)
        self.clock = clock

    @property
    def tally(self) -> Tally:
        tally = self.tallies.open(self._version, SCHEMA, REFERENCE)
        assert tally is not None
        return tally

    def ask(self, rows: int) -> None:
        self.tally.add_matrix(mixed_rows(rows), np.zeros(rows, np.int64), None)

    def ask_and_write(self, rows: int) -> None:
        self.ask(rows)
        self.minute()

    def read_back(self) -> None:
        self.tally.drain()
        self.keeper.step()

    def rows(self, alive: list[str] | None = None, seconds: int = HOUR) -> int:
        """Return the rows of this replica, and of those that have ended."""
        total = self.tally.window(seconds)
        ended, _ = self.store.of_ended(self.tally, alive or [], seconds)
        total.add(ended)
        return total.rows

    def minute(self) -> None:
        self.clock.now += MINUTE
        self.keeper.step()


class Replicas:
    """Starts replicas that share a clock, a registry and the training of their version."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.registry = FakeRegistry(folder)
        self.run = open_training(self.registry).id

    def start(self, own: str = "alone") -> Replica:
        return Replica(self.registry, self.run, own, self.clock)

    def files(self) -> Sequence[str]:
        return self.registry.list_files(self.run, "skew")


@pytest.fixture
def replicas(tmp_path: Path) -> Replicas:
    return Replicas(tmp_path)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_a_restart_loses_what_was_counted_since_the_last_minute_alone(replicas: Replicas) -> None:
    first = replicas.start()
    first.ask_and_write(40)
    first.ask(3)
    first.keeper.step()

    second = replicas.start()
    second.ask(2)
    second.keeper.step()

    assert second.rows() == 42
    second.minute()
    assert replicas.start().rows() == 0, "it has not read its file yet"
    third = replicas.start()
    third.read_back()
    assert third.rows() == 42


def test_counts_are_written_once_a_minute_and_only_when_there_are_more(replicas: Replicas) -> None:
    replica = replicas.start()
    replica.ask(1)
    for _ in range(59):
        replicas.clock.now += 1
        replica.keeper.step()
    assert replicas.registry.written == 0

    replica.minute()
    replica.minute()
    assert replicas.registry.written == 1

    replica.ask_and_write(1)
    assert replicas.registry.written == 2


def test_nothing_is_written_before_what_was_written_has_been_read(replicas: Replicas) -> None:
    first = replicas.start()
    first.ask_and_write(40)
    replicas.registry.down = True
    second = replicas.start()
    second.ask_and_write(5)
    assert second.rows() == 5
    replicas.registry.down = False

    second.minute()

    assert second.rows() == 45
    third = replicas.start()
    third.read_back()
    assert third.rows() == 45


def test_replicas_that_have_ended_count_and_those_that_live_count_once(replicas: Replicas) -> None:
    ended, other, own = (replicas.start(name) for name in ("a", "b", "c"))
    for replica, rows in ((ended, 10), (other, 20), (own, 30)):
        replica.ask_and_write(rows)

    assert own.rows(alive=["b"]) == 30 + 10
    assert own.rows() == 30 + 10 + 20
    other.ask_and_write(1)
    assert own.rows(alive=["b"]) == 30 + 10
    assert own.rows() == 30 + 10 + 21, "one that lived meanwhile has written more"


def test_what_was_read_counts_while_mlflow_is_away_and_that_is_said(replicas: Replicas) -> None:
    ended, own = replicas.start("a"), replicas.start("b")
    ended.ask_and_write(10)
    assert own.rows() == 10
    replicas.registry.down = True
    replicas.clock.now += 2 * MINUTE

    found, is_all = own.store.of_ended(own.tally, [], HOUR)

    assert (found.rows, is_all) == (10, False)


def test_counts_that_no_window_reaches_are_deleted(replicas: Replicas) -> None:
    ended, own = replicas.start("a"), replicas.start("b")
    ended.ask_and_write(10)
    assert own.rows(seconds=LONGEST) == 10
    replicas.clock.now += 15 * DAY

    assert own.rows(seconds=LONGEST) == 0
    assert replicas.files() == []


def test_counts_of_a_version_whose_training_is_deleted_stay_in_memory(replicas: Replicas) -> None:
    replica = replicas.start()
    replica.ask(4)
    replicas.registry.delete_training(replicas.run)

    replica.minute()

    assert replica.rows() == 4


def test_a_registry_that_fails_ends_no_count(replicas: Replicas) -> None:
    replica = replicas.start()
    replicas.registry.down = True
    replica.ask(4)

    replica.minute()

    with pytest.raises(RegistryUnavailable):
        replicas.files()
    assert replica.rows() == 4


def test_what_another_writer_put_there_counts_nothing(replicas: Replicas) -> None:
    replica = replicas.start("b")
    replica.ask_and_write(1)
    (path,) = replicas.files()
    for name, data in (("x", b"no counts"), ("y", b""), ("z", encode(Windows(3, replicas.clock)))):
        replicas.registry.write_file(replicas.run, path.removesuffix("b") + name, data)
    replicas.clock.now += 2 * MINUTE

    assert replica.rows() == 1


# The file


def test_counts_are_read_as_they_were_written(clock: FakeClock) -> None:
    windows = Windows(4, clock)
    for rows in (1, 5, 2**31):
        windows.add(rows, np.array([rows, 0, 1, 2]))
        clock.now += 3 * HOUR

    again = decode(encode(windows), 4, clock)

    for seconds in (5 * MINUTE, 6 * HOUR, LONGEST):
        assert again.window(seconds) == windows.window(seconds)


@pytest.mark.parametrize("damage", [b"", b"x", b"x\x9c"])
def test_a_damaged_file_is_refused(clock: FakeClock, damage: bytes) -> None:
    with pytest.raises(ValueError, match=r"damaged|truncated"):
        decode(damage, 4, clock)


def test_a_file_that_would_inflate_without_end_is_refused(clock: FakeClock) -> None:
    import zlib

    with pytest.raises(ValueError, match=r"."):
        decode(zlib.compress(b"\x00" * 50_000_000), 4, clock)


def test_a_file_of_another_layout_is_refused(clock: FakeClock) -> None:
    windows = Windows(4, clock)
    windows.add(1, np.array([1, 0, 0, 0]))

    with pytest.raises(ValueError, match="another layout"):
        decode(encode(windows), 5, clock)
