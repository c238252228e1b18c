"""A log of use of several pages: every reader finds the same newest entry."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.common.domain import Use
from service.common.errors import EpochConflict
from service.registry.connection import Connection
from service.registry.use_log import MlflowUses
from tests.support.fakes import make_version
from tests.support.stores import with_tables

PAGE = 3


VERSION = make_version(name="m")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    connection = Connection("", with_tables(tmp_path))
    connection.client.create_registered_model(VERSION.name)
    connection.client.create_model_version(VERSION.name, tmp_path.as_uri())
    yield connection
    connection.close()


def _log(connection: Connection, page: int) -> MlflowUses:
    log = MlflowUses(connection)
    log.entries_at_once = page
    return log


def _lose(log: MlflowUses, epoch: int) -> None:
    with pytest.raises(EpochConflict):
        log.commit_use(VERSION, "loser", epoch)


def _newest(log: MlflowUses) -> Use:
    use = log.newest_use()
    assert use is not None
    return use


def test_a_lost_compare_and_set_at_the_edge_of_a_page_does_not_count(
    connection: Connection,
) -> None:
    log = _log(connection, PAGE)
    winner = log.commit_use(VERSION, "winner")

    for _ in range(2 * PAGE + 1):
        _lose(log, winner.epoch + 1)
        assert _newest(log) == winner


@pytest.mark.parametrize("entries", range(1, 3 * PAGE + 1))
def test_the_newest_of_many_compare_and_sets_is_found(connection: Connection, entries: int) -> None:
    log = _log(connection, PAGE)
    epoch = 0

    for _ in range(entries):
        epoch = log.commit_use(VERSION, "next", epoch).epoch

    assert _newest(log).epoch == entries
    _lose(log, entries - 1)
    assert _newest(log).epoch == entries


def test_a_reader_with_other_page_sizes_finds_the_same_entry(connection: Connection) -> None:
    writer = _log(connection, PAGE)
    epoch = 0
    for _ in range(PAGE):
        epoch = writer.commit_use(VERSION, "next", epoch).epoch
        _lose(writer, epoch + 7)

    assert {_newest(_log(connection, page)).epoch for page in range(1, 9)} == {epoch}
