"""Listing data sets in MLflow needs no artifacts, and survives a bad record."""

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import orjson
import pytest

from service.common.domain import DataSet
from service.common.errors import DataSetBusy, DataSetNotFound
from service.registry.connection import Connection
from service.registry.data_sets import MlflowDataSets
from tests.support.stores import with_tables

COLUMNS = (
    {"name": "a", "type": "number", "missing": 0},
    {"name": "label", "type": "text", "missing": 2},
)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    connection = Connection("", with_tables(tmp_path))
    yield connection
    connection.close()


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows"
    path.write_bytes(b"rows")
    return path


def _data_set(name: str) -> DataSet:
    return DataSet(name, "1" * 64, 10, COLUMNS, "label", time.time())


def _rmtree_artifacts(tmp_path: Path) -> None:
    for path in (tmp_path / "artifacts").rglob("*"):
        if path.is_file():
            path.unlink()


def test_a_listing_needs_no_artifact(connection: Connection, rows: Path, tmp_path: Path) -> None:
    added = [
        MlflowDataSets(connection).add_data_set(_data_set(name), rows) for name in ("one", "two")
    ]
    _rmtree_artifacts(tmp_path)

    listed = MlflowDataSets(connection).list_data_sets()

    assert [replace(one, created_at=0.0) for one in listed] == [
        replace(one, created_at=0.0) for one in added
    ]


def test_a_wide_data_set_is_listed_with_all_its_columns(connection: Connection, rows: Path) -> None:
    columns = tuple({"name": f"c{i}" * 9, "type": "number", "missing": i} for i in range(10_000))
    MlflowDataSets(connection).add_data_set(replace(_data_set("wide"), columns=columns), rows)

    (wide,) = MlflowDataSets(connection).list_data_sets()

    assert wide.columns == columns


@pytest.mark.parametrize(
    "tags",
    [{}, {"sha256": "1", "rows": "many"}],
    ids=["without a record", "with odd tags"],
)
def test_a_bad_record_is_left_out_of_the_listing(
    connection: Connection, rows: Path, tags: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    data_sets = MlflowDataSets(connection)
    data_sets.add_data_set(_data_set("good"), rows)
    experiment = connection.experiment("datasets")
    connection.client.create_run(experiment, tags={"data_set": "bad", **tags})

    with caplog.at_level(logging.WARNING):
        listed = data_sets.list_data_sets()

    assert [one.name for one in listed] == ["good"]
    assert "bad" in caplog.text
    with pytest.raises(DataSetNotFound):
        data_sets.get_data_set("bad")


def test_a_record_of_version_0_1_0_is_converted_when_it_is_read(
    connection: Connection, tmp_path: Path
) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "dataset.json").write_bytes(orjson.dumps(asdict(_data_set("old"))))
    run = connection.client.create_run(connection.experiment("datasets"), tags={"data_set": "old"})
    connection.client.log_artifacts(run.info.run_id, str(folder))
    data_sets = MlflowDataSets(connection)

    (first,) = data_sets.list_data_sets()
    _rmtree_artifacts(tmp_path)
    (second,) = data_sets.list_data_sets()

    assert first == second
    assert (first.id, first.columns) == (run.info.run_id, COLUMNS)


def test_names_beyond_one_page_are_listed_without_a_call_for_each(
    connection: Connection, rows: Path
) -> None:
    names = [f"name-{number}" for number in range(5)]
    for name in names:
        MlflowDataSets(connection).add_data_set(_data_set(name), rows)

    data_sets = MlflowDataSets(connection)
    data_sets.runs_at_once = 2
    assert [one.name for one in data_sets.list_data_sets()] == names


@pytest.mark.parametrize(("age", "gives_way"), [(0.0, True), (3600.0, False)])
def test_rows_are_not_added_while_another_request_adds_some(
    connection: Connection, rows: Path, age: float, gives_way: bool
) -> None:
    data_sets = MlflowDataSets(connection)
    base = data_sets.add_data_set(_data_set("grown"), rows)
    connection.client.create_run(
        connection.experiment("datasets"),
        start_time=int((time.time() - age) * 1000),
        tags={"appending": "grown"},
    )
    grown = replace(_data_set("grown"), rows=11, sha256="2" * 64)

    if gives_way:
        with pytest.raises(DataSetBusy):
            data_sets.append_rows(grown, rows, base, "k")
        assert data_sets.get_data_set("grown") == base
    else:
        assert data_sets.append_rows(grown, rows, base, "k").rows == 11
