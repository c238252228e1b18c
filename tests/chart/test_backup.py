"""The backup and restore scripts, against a fake object store and database."""

import hashlib
import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "charts" / "mlops-desafio" / "files" / "backup"


class FakeStore:
    """An object store with the methods of boto3's client that the scripts use."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self.buckets: set[str] = set()

    def get_paginator(self, _: str) -> "FakeStore":
        return self

    def paginate(self, **_: str) -> Iterator[dict[str, Any]]:
        keys = sorted(self.objects)
        yield {}
        for start in range(0, len(keys), 2):
            yield {"Contents": [self._item(key) for key in keys[start : start + 2]]}

    def _item(self, key: str) -> dict[str, Any]:
        data = self.objects[key]
        return {"Key": key, "ETag": hashlib.md5(data).hexdigest(), "Size": len(data)}

    def download_file(self, _: str, key: str, path: str) -> None:
        self.fetched.append(key)
        Path(path).write_bytes(self.objects[key])

    def upload_file(self, path: str, _: str, key: str) -> None:
        self.objects[key] = Path(path).read_bytes()

    def list_buckets(self) -> dict[str, Any]:
        return {"Buckets": [{"Name": name} for name in self.buckets]}

    def create_bucket(self, **bucket: str) -> None:
        self.buckets.add(bucket["Bucket"])


class Copies:
    """The scripts, with the folder and the store of a test."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.store = root, FakeStore()
        self._monkeypatch = monkeypatch
        monkeypatch.syspath_prepend(str(SCRIPTS))
        monkeypatch.setenv("BACKUP_ROOT", str(root))
        monkeypatch.setenv("BUCKET", "mlflow")
        monkeypatch.setenv("HOSTNAME", "pod")
        for name in ("store", "backup", "restore"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        # The image has them; the scripts only need the names here.
        errors = ModuleType("botocore.exceptions")
        vars(errors).update(BotoCoreError=OSError, ClientError=OSError)
        monkeypatch.setitem(sys.modules, "boto3", ModuleType("boto3"))
        monkeypatch.setitem(sys.modules, "botocore", ModuleType("botocore"))
        monkeypatch.setitem(sys.modules, "botocore.exceptions", errors)
        self._seconds = 0
        self.backup, self.restore = (importlib.import_module(n) for n in ("backup", "restore"))
        for module in (self.backup, self.restore):
            monkeypatch.setattr(module, "client", lambda: self.store)
        (root / "choice").mkdir()
        monkeypatch.setattr(self.restore, "CHOICE", root / "choice" / "dump")
        monkeypatch.setattr(self.restore, "database_has_tables", lambda: False)

    def make(self, keep: int = 9, dump: bytes = b"rows") -> str:
        """Make a copy, one second after the last one, and return its name."""
        self._seconds += 1
        name = f"2026-01-31T02-17-{self._seconds:02}Z"
        self._monkeypatch.setattr(self.backup.time, "strftime", lambda *_: name)
        (self.root / "arriving-pod").mkdir()
        (self.root / "arriving-pod" / "database.dump").write_bytes(dump)
        self.backup.main(keep)
        return name

    def names(self) -> list[str]:
        return sorted(path.name for path in self.root.glob("2*"))

    def kept(self) -> set[bytes]:
        return {path.read_bytes() for path in self.root.glob("objects/*/*")}


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copies:
    return Copies(tmp_path, monkeypatch)


def test_what_was_copied_is_restored_byte_by_byte(copies: Copies) -> None:
    objects = {"1/a/model.onnx": b"graph", "1/b/model.onnx": b"graph", "2/c": b"", "é": b"x" * 99}
    copies.store.objects = dict(objects)
    name = copies.make()
    copies.store.objects.clear()

    copies.restore.main("latest")

    assert copies.store.objects == objects
    assert copies.store.buckets == {"mlflow"}
    dump = Path((copies.root / "choice" / "dump").read_text())
    assert (dump.parent.name, dump.read_bytes()) == (name, b"rows")


def test_what_an_earlier_copy_has_is_neither_fetched_nor_kept_again(copies: Copies) -> None:
    copies.store.objects = {"a": b"same", "b": b"old"}
    copies.make()
    copies.store.fetched.clear()
    copies.store.objects = {"a": b"same", "b": b"new", "c": b"same"}

    copies.make()

    assert copies.store.fetched == ["b", "c"]
    assert copies.kept() == {b"same", b"old", b"new"}


def test_the_oldest_copies_go_with_what_only_they_have(copies: Copies) -> None:
    copies.store.objects = {"a": b"first", "b": b"same"}
    copies.make(keep=2)
    copies.store.objects = {"b": b"same"}
    names = [copies.make(keep=2) for _ in range(2)]

    assert copies.names() == names
    assert copies.kept() == {b"same", b"first"}  # a copy in progress may be about to refer to it
    for path in copies.root.glob("objects/*/*"):
        os.utime(path, (0, 0))
    names = [names[1], copies.make(keep=2)]

    assert copies.names() == names
    assert copies.kept() == {b"same"}


def test_one_of_several_copies_can_be_asked_for(copies: Copies) -> None:
    copies.store.objects = {"a": b"first"}
    first = copies.make()
    copies.store.objects = {"a": b"second"}
    copies.make()

    copies.restore.main(first)

    assert copies.store.objects == {"a": b"first"}


def test_a_copy_that_is_not_complete_is_none(copies: Copies) -> None:
    copies.store.objects = {"a": b"first"}
    name = copies.make()
    (copies.root / "arriving-pod").mkdir()
    (copies.root / "arriving-pod" / "database.dump").write_bytes(b"newer")
    copies.restore.main("latest")
    assert Path((copies.root / "choice" / "dump").read_text()).parent.name == name


def test_an_empty_dump_ends_the_copy_and_loses_none(copies: Copies) -> None:
    copies.store.objects = {"a": b"first"}
    name = copies.make()
    with pytest.raises(SystemExit, match="dump of the database is empty"):
        copies.make(dump=b"")
    assert copies.names() == [name]


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_copy_is_refused(copies: Copies, damage: str) -> None:
    copies.store.objects = {"a": b"first"}
    copies.make()
    (place,) = copies.root.glob("objects/*/*")
    place.unlink() if damage == "missing" else place.write_bytes(b"fir5t")

    with pytest.raises(SystemExit, match="The copy is damaged: a is missing, or not what"):
        copies.restore.main("latest")

    assert not (copies.root / "choice" / "dump").exists()


def test_a_database_in_use_is_left_alone(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    copies.store.objects = {"a": b"first"}
    copies.make()
    copies.store.objects = {"a": b"newer"}
    monkeypatch.setattr(copies.restore, "database_has_tables", lambda: True)

    copies.restore.main("latest")

    assert copies.store.objects == {"a": b"newer"}
    assert (copies.root / "choice" / "dump").read_text() == ""


def test_a_copy_that_is_not_there_is_told_with_those_that_are(copies: Copies) -> None:
    with pytest.raises(SystemExit, match=r"no copy 'latest' in .*; there is none"):
        copies.restore.main("latest")
    name = copies.make()
    with pytest.raises(SystemExit, match=f"there is {name}"):
        copies.restore.main("2020-01-01T00-00-00Z")


def test_a_manifest_tells_what_a_copy_holds(copies: Copies) -> None:
    copies.store.objects = {"a": b"first"}
    name = copies.make()

    manifest = json.loads((copies.root / name / "manifest.json").read_bytes())

    assert manifest["a"]["sha256"] == hashlib.sha256(b"first").hexdigest()
    assert manifest["a"]["size"] == 5
