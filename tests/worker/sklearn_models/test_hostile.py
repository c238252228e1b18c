"""Planted hostile artifacts: none runs any code, each is refused with a reason."""

import hashlib
import io
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.common.domain import ARTIFACTS, Version
from service.processes.pool import WorkerPool
from tests.support import hostile
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for
from tests.support.waiting import wait_until

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}

KINDS: Mapping[Callable[[Path], hostile.Files], str] = {
    hostile.a_pickle: "it is a pickle",
    hostile.a_cloudpickle: "it is a pickle",
    hostile.a_joblib_file: "it is a pickle",
    hostile.a_pickle_of_no_known_form: "it is a pickle",
    hostile.a_pickle_that_claims_to_be_skops: "not a skops file",
    hostile.a_pickle_that_claims_to_be_onnx: "no ONNX model",
    hostile.a_pickle_inside_of_skops: "cannot be read",
    hostile.skops_with_a_function_of_the_system: "not allowed: posix.system",
    hostile.skops_with_a_foreign_class: "not allowed: tests.support.hostile.Payload",
    hostile.skops_with_a_methodcaller: "not allowed: operator.methodcaller",
    hostile.a_zip_bomb: "unpacks to more than",
    hostile.a_zip_that_climbs_up: "outside itself",
    hostile.a_zip_with_an_absolute_name: "outside itself",
    hostile.a_zip_with_a_link: "outside itself",
    hostile.skops_nested_beyond_measure: "not a skops file",
    hostile.onnx_with_data_in_an_absolute_place: "other files",
    hostile.onnx_with_data_above_its_folder: "other files",
    hostile.onnx_with_data_beside_it: "other files",
    hostile.onnx_with_an_operator_of_another_domain: "ai.onnx.contrib",
    hostile.onnx_with_an_unlisted_operator: "operator ConstantOfShape",
    hostile.onnx_with_a_function: "functions",
    hostile.onnx_with_a_graph_inside: "holds a graph",
    hostile.onnx_whose_tree_leads_outside: "",
    hostile.a_loader_of_its_own: "flavors are python_function",
    hostile.code_beside_a_pickle: "it is a pickle",
    hostile.a_file_above_its_folder: "outside of it",
    hostile.a_file_in_an_absolute_place: "outside of it",
    hostile.mlmodel_with_a_call: "no YAML",
    hostile.mlmodel_that_grows_without_end: "names no flavors",
}


@pytest.fixture(scope="module")
def children() -> Iterator[WorkerPool]:
    children = WorkerPool()
    yield children
    children.close()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> FakeRegistry:
    return FakeRegistry(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def service(
    planted: FakeRegistry, children: WorkerPool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """Run the service with a good model in use, and a registry in which to plant others."""
    settings = settings_for(tmp_path_factory.mktemp("hostile") / "data")
    with serve(settings, planted, children) as client:
        client.train(name="iris", dataset="iris", model_type="LogisticRegression")
        yield client


@pytest.fixture(autouse=True)
def undisturbed(service: Client, children: WorkerPool, tmp_path: Path) -> Iterator[None]:
    """Check after a test that nothing ran, predictions go on, and no worker is left."""
    yield
    assert not (tmp_path / "canary").exists()
    answered = service.predict(ROW)
    assert (answered.status_code, answered.headers["x-model-name"]) == (200, "iris")
    assert service.get("/readyz").status_code == 200
    host = children.host
    wait_until(lambda: not Path(f"/proc/{host}/task/{host}/children").read_text())


def plant(
    registry: FakeRegistry, name: str, files: Mapping[str, bytes], *, forged: bool = False
) -> Version:
    """Register files as a foreign version, or with digests as if it were ours."""
    digests = {file: hashlib.sha256(data).hexdigest() for file, data in files.items() if forged}
    version = Version(name, 1, time.time(), sha256=digests)
    registry.versions[name, 1] = version
    registry.numbers[name] = 1
    for file, data in files.items():
        path = registry.files(version) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return version


def refusal(client: Client, name: str) -> str:
    """Assert that a version is refused everywhere; return the reason that the list shows."""
    used = client.post("/use-model", json={"name": name})
    assert used.status_code == 409, used.text
    (item,) = client.get(f"/models?name={name}").json()["models"]
    assert item["servable"] is False
    reason = str(item["reason"])
    assert reason.rstrip(".") in used.json()["detail"]
    return reason


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_a_hostile_artifact_is_refused_with_its_reason(
    service: Client,
    planted: FakeRegistry,
    tmp_path: Path,
    make: Callable[[Path], hostile.Files],
) -> None:
    name = make.__name__
    plant(planted, name, make(tmp_path / "canary"))

    assert KINDS[make] in refusal(service, name)


@pytest.mark.parametrize("kind", hostile.NODES)
def test_no_node_of_a_skops_file_calls_what_is_not_listed(
    service: Client, planted: FakeRegistry, tmp_path: Path, kind: str
) -> None:
    name = kind.replace(" ", "-")
    plant(planted, name, hostile.skops_with(kind, tmp_path / "canary"))

    assert re.search("not allowed|not a skops file", refusal(service, name))


def test_the_files_that_hostile_ones_are_made_from_are_served(
    service: Client, planted: FakeRegistry
) -> None:
    onnx = {"MLmodel": hostile.mlmodel("onnx", data="model.onnx"),
            "model.onnx": hostile.graph().SerializeToString()}  # fmt: skip
    plant(planted, "good-graph", onnx)
    skops = {"MLmodel": hostile.mlmodel("sklearn", pickled_model="m", serialization_format="skops"),
             "m": hostile.with_node(hostile.encoded(1))}  # fmt: skip
    plant(planted, "good-skops", skops)

    for name in ("good-graph", "good-skops", "iris"):
        used = service.post("/use-model", json={"name": name})
        assert used.status_code == 200, used.text


def test_a_link_to_a_file_elsewhere_brings_nothing_but_what_is_checked(
    service: Client, planted: FakeRegistry, tmp_path: Path
) -> None:
    version = plant(
        planted, "linked", hostile.a_pickle_that_claims_to_be_skops(tmp_path / "canary")
    )
    path = planted.files(version) / "model.bin"
    path.unlink()
    path.symlink_to("/etc/passwd")

    assert "not a skops file" in refusal(service, "linked")


def _many(folder: Path) -> None:
    for number in range(1000):
        (folder / f"{number}").touch()


def _many_folders(folder: Path) -> None:
    for number in range(1000):
        (folder / f"{number}").mkdir()


def _large(folder: Path) -> None:
    with (folder / "large").open("wb") as file:
        file.truncate(2 * 2**30 + 1)  # sparse: it uses no disk space


def _endless(folder: Path) -> None:
    (folder / "endless").symlink_to("/dev/zero")


def _never_ready(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


@pytest.mark.parametrize(
    ("add", "reason"),
    [
        (_many, "more than 1,000 files"),
        (_many_folders, "more than 1,000 files"),
        (_large, "more than 2,048 MiB"),
        (_endless, "not a regular file"),
        (_never_ready, "not a regular file"),
    ],
)
def test_a_version_over_the_download_limits_is_refused_before_any_fetch(
    service: Client, planted: FakeRegistry, add: Callable[[Path], None], reason: str
) -> None:
    graph = {"MLmodel": hostile.mlmodel("onnx", data="model.onnx"),
             "model.onnx": hostile.graph().SerializeToString()}  # fmt: skip
    version = plant(planted, f"too-much{add.__name__}", graph)
    add(planted.files(version))

    assert reason in refusal(service, version.name)


# Tampered versions of our own


@pytest.mark.parametrize("model_type", ["GaussianNB", "LabelSpreading"])
def test_one_changed_byte_in_any_file_is_found(
    service: Client, planted: FakeRegistry, model_type: str
) -> None:
    service.train(name=model_type, dataset="iris", model_type=model_type, use=False)
    version = planted.newest_version(model_type)
    assert set(version.sha256) >= {"schema.json", "model.skops", "golden.npz"}
    for file in version.sha256:
        path = planted.files(version) / file
        data = path.read_bytes()
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])

        reason = refusal(service, model_type)

        assert reason == f"its file {file} is not the one that was registered (sha256)."
        path.write_bytes(data)
    for name in (model_type, "iris"):
        assert service.post("/use-model", json={"name": name}).status_code == 200


@pytest.fixture(scope="module")
def ours(service: Client, planted: FakeRegistry) -> dict[str, bytes]:
    """Return the files of a version that scikit-learn serves, to be forged."""
    service.train(name="forged", dataset="iris", model_type="LabelSpreading", use=False)
    version = planted.newest_version("forged")
    return {file: (planted.files(version) / file).read_bytes() for file in version.sha256}


def _array_file(header: str) -> bytes:
    """Return an array file with a custom header and no data."""
    line = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line


def _golden(**arrays: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name, data in arrays.items():
            target.writestr(f"{name}.npy", data)
    return out.getvalue()


def _pickled(canary: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([hostile.Payload(canary)], object), allow_pickle=True)
    return buffer.getvalue()


def _forgeries(canary: Path) -> Mapping[str, Mapping[str, bytes]]:
    """Return forged files with matching digests, as an intruder in MLflow could write."""
    huge = _array_file("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,)}")
    pickled = _pickled(canary)
    return {
        "golden-rows-that-are-a-pickle": {"golden.npz": _golden(X=pickled, labels=pickled)},
        "golden-rows-of-a-petabyte": {"golden.npz": _golden(X=huge, labels=huge)},
        "golden-rows-without-labels": {"golden.npz": _golden()},
        "a-pipeline-that-is-a-pickle": {"model.skops": pickled},
        "a-pipeline-of-foreign-types": {
            "model.skops": hostile.skops_with("partial", canary)["model.skops"]
        },
        "a-graph-with-other-files": {
            "model.onnx": hostile.onnx_with_data_beside_it(canary)["model.onnx"]
        },
        "a-schema-that-is-none": {"schema.json": b'{"features": 1}'},
        "a-schema-without-end": {"schema.json": b"[" * 1_000_000},
        "a-file-of-another-place": {"../../../etc/passwd": b""},
        "a-file-of-another-name": {"more": b""},
    }


@pytest.mark.parametrize("kind", _forgeries(Path()))
def test_a_version_with_forged_digests_runs_nothing_either(
    service: Client,
    planted: FakeRegistry,
    ours: dict[str, bytes],
    tmp_path: Path,
    kind: str,
) -> None:
    forged: dict[str, Any] = {**ours, **_forgeries(tmp_path / "canary")[kind]}
    strange = {file: forged.pop(file) for file in set(forged) - set(ARTIFACTS)}
    version = plant(planted, kind, forged, forged=True)
    digests = {file: hashlib.sha256(data).hexdigest() for file, data in strange.items()}
    planted.versions[kind, 1] = Version(
        kind, 1, version.created_at, sha256={**version.sha256, **digests}
    )

    assert refusal(service, kind)
