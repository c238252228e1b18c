"""The contract of every registry: the fake, embedded MLflow, and MLflow behind a server."""

import hashlib
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from service.common.domain import Comparison, DataSet, Note, Training, Version
from service.common.errors import (
    AliasNotFound,
    DataSetNotFound,
    EpochConflict,
    InvalidRequest,
    ModelNotFound,
    RegistryUnavailable,
    StartError,
    TrainingNotFound,
    VersionNotFound,
)
from service.common.ports import Registry
from service.registry.mlflow_registry import MlflowRegistry
from tests.support.mlflow_server import free_port
from tests.support.registered import (
    add_version,
    delete_alias,
    open_training,
    rename_model,
    set_alias,
    tags_of,
)
from tests.support.waiting import wait_until


@pytest.mark.slow
def test_a_version_is_found_as_it_was_added(registry: Registry, tmp_path: Path) -> None:
    added = add_version(registry, tmp_path, "found")

    assert registry.get_version("found", 1) == added
    assert registry.newest_version("found") == added
    assert (added.model_type, added.params, added.metrics) == (
        "SVC",
        {"C": 2.0},
        {"accuracy": 0.75},
    )
    assert abs(added.created_at - time.time()) < 60
    assert added.sha256["model.onnx"] == added.digest == hashlib.sha256(b"graph").hexdigest()
    assert not added.foreign


@pytest.mark.slow
def test_an_older_release_finds_no_digest_of_a_file_that_it_would_refuse(
    registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "reference.json").write_bytes(b"{}")

    added = add_version(registry, tmp_path, "later")

    digest = hashlib.sha256(b"{}").hexdigest()
    assert registry.get_version("later", 1).sha256["reference.json"] == digest
    if isinstance(registry, MlflowRegistry):
        tags = tags_of(registry, added)
        older = {key for key in tags if key.startswith("sha256.")}
        assert older == {"sha256.schema.json", "sha256.model.onnx"}
        assert tags["later.sha256.reference.json"] == digest


def test_versions_count_from_one(registry: Registry, tmp_path: Path) -> None:
    for expected in (1, 2, 3):
        folder = tmp_path / str(expected)
        folder.mkdir()
        assert add_version(registry, folder, "counted").version == expected
    assert registry.newest_version("counted").version == 3


def test_artifacts_come_back_as_they_were(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    version = add_version(registry, tmp_path / "in", "files")

    folder = registry.fetch(version, tmp_path / "out")

    assert (folder / "model.onnx").read_bytes() == b"graph"
    assert (folder / "schema.json").read_bytes() == b"{}"


def test_a_listing_has_pages_the_newest_first(registry: Registry, tmp_path: Path) -> None:
    for name in ("p1", "p2", "p3"):
        (tmp_path / name).mkdir()
        add_version(registry, tmp_path / name, "paged")

    first = registry.list_versions("paged", 2, None)
    second = registry.list_versions("paged", 2, first.next_page_token)

    assert [version.version for version in first.items] == [3, 2]
    assert [version.version for version in second.items] == [1]
    assert second.next_page_token is None
    with pytest.raises(InvalidRequest):
        registry.list_versions("paged", 2, "junk!")


def test_what_is_not_there_is_not_found(registry: Registry, tmp_path: Path) -> None:
    version = add_version(registry, tmp_path, "there")

    with pytest.raises(ModelNotFound):
        registry.get_version("nobody", 1)
    with pytest.raises(VersionNotFound):
        registry.get_version("there", version.version + 1)
    with pytest.raises(ModelNotFound):
        registry.newest_version("nobody")
    with pytest.raises(ModelNotFound):
        registry.version_of_alias("nobody", "best")
    with pytest.raises(AliasNotFound):
        registry.version_of_alias("there", "best")
    with pytest.raises(TrainingNotFound):
        registry.get_training("0" * 32)
    with pytest.raises(TrainingNotFound):
        registry.get_training("../etc")
    with pytest.raises(DataSetNotFound):
        registry.get_data_set("nobody")
    with pytest.raises(DataSetNotFound):
        registry.delete_data_set("nobody")


def test_a_deleted_version_is_gone_and_its_number_is_not_given_again(
    registry: Registry, tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    add_version(registry, tmp_path / "a", "deleted")
    add_version(registry, tmp_path / "b", "deleted")

    registry.delete_version("deleted", 1)

    with pytest.raises(VersionNotFound):
        registry.get_version("deleted", 1)
    with pytest.raises(VersionNotFound):
        registry.delete_version("deleted", 1)
    assert add_version(registry, tmp_path / "c", "deleted").version == 3


def test_the_log_of_use_grows_by_one_and_is_no_model(registry: Registry, tmp_path: Path) -> None:
    version = add_version(registry, tmp_path, "used")
    before = registry.newest_use()

    first = registry.commit_use(version, "a test")
    second = registry.commit_use(version, "a test")

    assert first.epoch == (before.epoch + 1 if before else 1)
    assert second.epoch == first.epoch + 1
    assert registry.newest_use() == second
    assert (second.name, second.version, second.by) == ("used", 1, "a test")
    assert second.sha256 == version.digest
    assert all(item.name != "in-use" for item in registry.list_versions(None, 1000, None).items)
    with pytest.raises(ModelNotFound):
        registry.get_version("in-use", 1)


def test_an_entry_that_does_not_follow_the_epoch_it_expects_never_counts(
    registry: Registry, tmp_path: Path
) -> None:
    version = add_version(registry, tmp_path, "compared")
    first = registry.commit_use(version, "x")

    second = registry.commit_use(version, "winner", first.epoch)
    for _ in range(2):
        with pytest.raises(EpochConflict):
            registry.commit_use(version, "loser", first.epoch)

    assert registry.newest_use() == second
    third = registry.commit_use(version, "next", second.epoch)
    assert third.epoch > second.epoch
    assert registry.newest_use() == third


def _add(registry: Registry, folder: Path, name: str, count: int) -> list[Version]:
    versions = []
    for number in range(count):
        (folder / f"{name}-{number}").mkdir()
        versions.append(add_version(registry, folder / f"{name}-{number}", name))
    return versions


def _listed(registry: Registry, name: str) -> list[tuple[str, ...]]:
    return [version.aliases for version in registry.list_versions(name, 100, None).items]


def test_versions_are_found_and_listed_with_their_aliases(
    registry: Registry, tmp_path: Path
) -> None:
    _add(registry, tmp_path, "aliased", 3)
    set_alias(registry, "aliased", "champion", 2)
    set_alias(registry, "aliased", "best", 2)

    assert registry.version_of_alias("aliased", "champion").version == 2
    assert registry.get_version("aliased", 2).aliases == ("best", "champion")
    assert _listed(registry, "aliased") == [(), ("best", "champion"), ()]
    set_alias(registry, "aliased", "champion", 3)
    assert registry.version_of_alias("aliased", "champion").version == 3
    assert _listed(registry, "aliased") == [("champion",), ("best",), ()]


def test_a_listing_of_all_models_has_the_aliases_of_each(
    registry: Registry, tmp_path: Path
) -> None:
    for name in ("left", "right"):
        _add(registry, tmp_path, name, 1)
    set_alias(registry, "left", "champion", 1)
    set_alias(registry, "right", "challenger", 1)

    def listed() -> bool:
        found = {one.name: one.aliases for one in registry.list_versions(None, 2, None).items}
        return found == {"left": ("champion",), "right": ("challenger",)}

    wait_until(listed, 5)


def test_an_alias_goes_with_its_version_and_stays_with_a_renamed_model(
    registry: Registry, tmp_path: Path
) -> None:
    _add(registry, tmp_path, "moving", 2)
    set_alias(registry, "moving", "champion", 2)
    set_alias(registry, "moving", "old", 1)
    set_alias(registry, "moving", "gone", 2)

    delete_alias(registry, "moving", "gone")
    registry.delete_version("moving", 1)
    rename_model(registry, "moving", "moved")

    assert registry.version_of_alias("moved", "champion").version == 2
    assert _listed(registry, "moved") == [("champion",)]
    for alias in ("old", "gone", "latest", "no/alias"):
        with pytest.raises(AliasNotFound):
            registry.version_of_alias("moved", alias)
    with pytest.raises(ModelNotFound):
        registry.version_of_alias("moving", "champion")


def test_the_log_of_use_keeps_the_alias_that_is_followed(
    registry: Registry, tmp_path: Path
) -> None:
    version = add_version(registry, tmp_path, "followed")

    first = registry.commit_use(version, "a test", follows="champion")
    assert (first.follows, registry.newest_use()) == ("champion", first)
    moved = registry.commit_use(version, "a test", first.epoch, "champion")
    assert (moved.follows, registry.newest_use()) == ("champion", moved)
    ended = registry.commit_use(version, "a test")
    assert (ended.follows, registry.newest_use()) == ("", ended)


def test_why_an_alias_is_not_followed_is_kept_with_its_version_until_it_is_removed(
    registry: Registry, tmp_path: Path
) -> None:
    version = add_version(registry, tmp_path, "refused")

    registry.keep_follow_error(version, "It cannot be served.")
    assert registry.get_version("refused", 1).follow_error == "It cannot be served."
    for _ in range(2):
        registry.keep_follow_error(version, "")
        assert registry.get_version("refused", 1) == version
    with pytest.raises(VersionNotFound):
        registry.keep_follow_error(replace(version, version=9), "It is not there.")


def test_storage_that_is_there_is_reached(registry: Registry) -> None:
    registry.reach_storage()


def test_a_model_is_claimed_once(registry: Registry) -> None:
    assert registry.claim("claimed")
    assert not registry.claim("claimed")


def test_commits_at_one_time_get_epochs_of_their_own(registry: Registry, tmp_path: Path) -> None:
    version = add_version(registry, tmp_path, "raced")
    epochs: list[int] = []
    threads = [
        threading.Thread(target=lambda: epochs.append(registry.commit_use(version, "x").epoch))
        for _ in range(6)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(epochs)) == 6
    newest = registry.newest_use()
    assert newest is not None
    assert newest.epoch == max(epochs)


def test_a_training_is_followed_from_queue_to_end(registry: Registry) -> None:
    opened = open_training(registry)
    running = replace(opened, state="running", stage="fit", progress=0.5, beat_at=99.0)
    registry.update_training(running)

    assert registry.get_training(opened.id) == running
    assert opened.id in [training.id for training in registry.open_trainings()]

    ended = replace(
        running,
        state="succeeded",
        version=3,
        metrics={"accuracy": 0.5},
        seconds={"fit": 0.25},
        notes=(Note("zip", "is kept as text"), Note(None, "'é' was read")),
        missing=("b", "c"),
        comparison=Comparison(9, {"accuracy": 0.5}, "better", {"accuracy": 0.25}, 3, 1, 0.625),
        finished_at=round(time.time(), 3),
    )
    registry.close_training(ended)

    assert registry.get_training(opened.id) == ended
    assert opened.id not in [training.id for training in registry.open_trainings()]
    assert registry.list_trainings(1, None).items[0].id == opened.id


def _record(registry: Registry, training: Training, files: Path) -> None:
    rows = DataSet("rows", "0" * 64, 1, (), None, 0.0)
    registry.record_result(training, {}, rows, files)


def test_a_file_that_a_training_recorded_is_read_up_to_a_limit(
    registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "judged.json").write_bytes(b"0123456789" * 300_000)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner.json").write_bytes(b"inner")
    (tmp_path / "empty.json").write_bytes(b"")
    training = open_training(registry)
    _record(registry, training, tmp_path)

    assert registry.read_file(training.id, "judged.json", 25) == b"0123456789012345678901234"
    whole = registry.read_file(training.id, "judged.json", 10**7)
    assert whole == b"0123456789" * 300_000
    assert registry.read_file(training.id, "empty.json", 10) == b""
    for name in ("folder", "inner.json", "other.json"):
        assert registry.read_file(training.id, name, 10) is None


def test_a_training_that_recorded_no_file_has_none(registry: Registry) -> None:
    assert registry.read_file(open_training(registry).id, "judged.json", 10) is None
    for identifier in ("0" * 32, "../etc"):
        with pytest.raises(TrainingNotFound):
            registry.read_file(identifier, "judged.json", 10)


def test_of_many_notes_as_many_are_kept_as_there_is_room_for(registry: Registry) -> None:
    notes = tuple(Note(f"column {number}", "x" * 500) for number in range(20))

    opened = registry.open_training(
        Training(id="", state="queued", created_at=0.0, notes=notes), {}
    )

    kept = registry.get_training(opened.id).notes
    assert len(kept) >= 5
    assert kept == notes[: len(kept)]


def test_a_failed_training_keeps_its_reason(registry: Registry) -> None:
    opened = open_training(registry)

    registry.close_training(replace(opened, state="failed", error="It could not.", finished_at=1.0))

    assert registry.get_training(opened.id).error == "It could not."
    assert registry.get_training(opened.id).state == "failed"


def test_the_newest_training_of_a_key_is_found(registry: Registry) -> None:
    training = Training(id="", state="queued", created_at=0.0)
    first = registry.open_training(training, {"idempotency_key": "k", "request": "r1"})

    assert registry.training_of_key("other") is None
    found = registry.training_of_key("k")
    assert found is not None
    assert (found[0].id, found[1]) == (first.id, "r1")


def test_what_a_training_found_is_recorded(registry: Registry, tmp_path: Path) -> None:
    training = open_training(registry)
    (tmp_path / "confusion_matrix.png").write_bytes(b"png")
    columns = ({"name": "a", "type": "number", "missing": 0},)
    data_set = DataSet("rows", "ab" * 32, 10, columns, "y", 0.0)

    registry.record_result(training, {"param.C": "1.0"}, data_set, tmp_path)


def test_data_sets_are_kept_by_name_and_content(registry: Registry, tmp_path: Path) -> None:
    columns = ({"name": "a", "type": "number", "missing": 0},)
    (tmp_path / "one.parquet").write_bytes(b"one")
    (tmp_path / "two.parquet").write_bytes(b"two")
    notes = (Note("a", "is kept"),)
    first = DataSet("kept", "1" * 64, 10, columns, "y", time.time(), notes=notes)

    added = registry.add_data_set(first, tmp_path / "one.parquet")
    same = registry.add_data_set(first, tmp_path / "one.parquet")
    newer = registry.add_data_set(replace(first, sha256="2" * 64), tmp_path / "two.parquet")

    assert same.id == added.id
    assert newer.id != added.id
    assert registry.get_data_set("kept").sha256 == "2" * 64
    assert registry.get_data_set("kept").notes == notes
    assert [item.id for item in registry.list_data_sets() if item.name == "kept"] == [newer.id]
    assert registry.fetch_data_set(newer, tmp_path / "out").read_bytes() == b"two"

    registry.delete_data_set("kept")
    with pytest.raises(DataSetNotFound):
        registry.get_data_set("kept")


def test_an_mlflow_that_is_down_is_reported_at_once(tmp_path: Path) -> None:
    registry = MlflowRegistry(f"http://127.0.0.1:{free_port()}", tmp_path)
    start = time.monotonic()

    with pytest.raises(RegistryUnavailable) as caught:
        registry.newest_use()

    assert time.monotonic() - start < 15
    assert caught.value.outcome == "unchanged"
    assert "127.0.0.1" not in str(caught.value)


def test_a_corrupt_store_is_reported_in_a_sentence_and_left_unchanged(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)

    with pytest.raises(StartError) as caught:
        MlflowRegistry("", tmp_path)

    assert "cannot be opened as MLflow's store" in str(caught.value)
    assert (tmp_path / "mlflow.db").read_bytes() == b"this is no database" * 100


@pytest.mark.slow
def test_files_are_written_beside_those_of_a_training_and_deleted(registry: Registry) -> None:
    run = open_training(registry).id
    assert registry.list_files(run, "skew") == []
    assert registry.read_file(run, "skew/1.a", 10) is None

    registry.write_file(run, "skew/1.a", b"one")
    registry.write_file(run, "skew/1.b", b"two")
    registry.write_file(run, "skew/1.a", b"three")

    assert sorted(registry.list_files(run, "skew")) == ["skew/1.a", "skew/1.b"]
    assert registry.read_file(run, "skew/1.a", 10) == b"three"
    assert registry.read_file(run, "skew/1.c", 10) is None
    registry.delete_file(run, "skew/1.a")
    assert registry.list_files(run, "skew") == ["skew/1.b"]


def test_the_version_of_a_training_is_found_by_it(registry: Registry, tmp_path: Path) -> None:
    assert registry.version_of_training("of-training", "0" * 32) is None

    version = add_version(registry, tmp_path, "of-training")

    found = registry.version_of_training("of-training", version.run_id)
    assert found is not None
    assert (found.name, found.version, found.sha256) == (
        "of-training",
        version.version,
        version.sha256,
    )
    assert registry.version_of_training("other", version.run_id) is None


def test_files_of_a_training_that_is_none_are_not_found(registry: Registry) -> None:
    for identifier in ("0" * 32, "x", ""):
        with pytest.raises(TrainingNotFound):
            registry.write_file(identifier, "skew/1.a", b"one")
        with pytest.raises(TrainingNotFound):
            registry.list_files(identifier, "skew")
