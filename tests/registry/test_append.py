"""Adding rows to a data set in every registry: as its next content, and never over another's."""

import threading
import time
from pathlib import Path

import pytest

from service.common.domain import DataSet
from service.common.errors import DataSetBusy, ServiceError
from service.common.ports import Registry

COLUMNS = ({"name": "a", "type": "number", "missing": 0},)


def made(name: str, rows: int, sha256: str) -> DataSet:
    return DataSet(name, sha256 * 64, rows, COLUMNS, "a", time.time())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows"
    path.write_bytes(b"rows")
    return path


def test_what_is_appended_is_the_newest_content(registry: Registry, file: Path) -> None:
    base = registry.add_data_set(made("grown", 1, "1"), file)
    file.write_bytes(b"more rows")

    added = registry.append_rows(made("grown", 2, "2"), file, base, "k" * 32)

    assert registry.get_data_set("grown") == added
    assert (added.rows, added.sha256) == (2, "2" * 64)
    fetched = registry.fetch_data_set(added, file.parent / "fetched")
    assert fetched.read_bytes() == b"more rows"
    assert registry.appended_by("grown", "k" * 32) == added
    assert registry.appended_by("grown", "l" * 32) is None
    assert registry.appended_by("other", "k" * 32) is None


def test_rows_behind_an_older_content_are_refused_and_not_kept(
    registry: Registry, file: Path
) -> None:
    base = registry.add_data_set(made("raced", 1, "1"), file)
    newer = registry.add_data_set(made("raced", 5, "5"), file)

    with pytest.raises(DataSetBusy, match="'raced'"):
        registry.append_rows(made("raced", 2, "2"), file, base, "m" * 32)

    assert registry.get_data_set("raced") == newer
    assert registry.appended_by("raced", "m" * 32) is None
    assert registry.append_rows(made("raced", 6, "6"), file, newer, "m" * 32).rows == 6


def test_appends_at_one_time_lose_nothing(registry: Registry, file: Path) -> None:
    registry.add_data_set(made("busy", 1, "1"), file)
    failures: list[ServiceError] = []

    def append(key: str) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            base = registry.get_data_set("busy")
            grown = made("busy", base.rows + 1, key)
            try:
                registry.append_rows(grown, file, base, key)
            except DataSetBusy:
                threading.Event().wait(0.01 * (1 + int(key)) * (base.rows % 3 + 1))
                continue
            except ServiceError as error:
                failures.append(error)
            return

    threads = [threading.Thread(target=append, args=(str(at),)) for at in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    assert registry.get_data_set("busy").rows == 4
