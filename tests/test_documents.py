"""The documents against the code: they name only what exists, and all that users need."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from service.api import problems
from service.common import errors
from service.common.domain import BUILT_IN_DATA_SETS
from service.common.errors import ServiceError
from service.common.settings import PREFIX, Settings
from service.worker.data.table import BUILT_IN
from service.worker.learning import classifiers
from service.worker.learning.default_spaces import default_space
from service.worker.learning.spaces import Choices, Span
from tests.support.server import Client

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
_NAMED = re.compile(rf"{PREFIX}[A-Z_]+")
_ROW = re.compile(r"^\| (`[A-Z]+ /[^|]+`) \|", re.MULTILINE)
_ROUTE = re.compile(r"`([A-Z]+ /\S+)`")


def test_the_list_of_settings_has_each_and_documents_name_no_other() -> None:
    existing = {PREFIX + name.upper() for name in Settings.model_fields}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]

    assert set(_NAMED.findall((ROOT / "docs/settings.md").read_text())) - {PREFIX} == existing
    named = {name for page in pages for name in _NAMED.findall(page.read_text())}
    assert named - {PREFIX} <= existing


def test_the_readme_and_the_page_of_protocols_name_every_route_and_no_other(
    client: Client,
) -> None:
    rows = _ROW.findall(README + (ROOT / "docs/protocols.md").read_text())
    named = [route for row in rows for route in _ROUTE.findall(row)]
    paths = client.get("/openapi.json").json()["paths"]

    existing = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    assert set(named) == existing
    assert len(named) == len(existing), "a route is in both"


def test_the_readme_names_every_make_target_it_uses() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"`make ([a-z0-9-]+)", README)) <= targets


def test_the_security_policy_names_tests_and_targets_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    named = set(re.findall(r"test_\w+\.py", text))
    assert len(named) > 10
    assert named <= tests
    assert set(re.findall(r"`make ([a-z0-9-]+)", text)) <= targets


@pytest.mark.parametrize("document", ["README.md", "SECURITY.md", "CONTRIBUTING.md", "docs"])
def test_documents_name_only_files_that_exist(document: str) -> None:
    path = ROOT / document
    for page in [path] if path.is_file() else sorted(path.glob("*.md")):
        named = re.findall(
            r"`((?:service|tests|tools|charts|k8s)/[\w/.-]+\.\w+)`", page.read_text()
        )
        assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_page_of_searches_shows_the_default_space_of_each_classifier() -> None:
    rows = re.findall(r"^\| (\w+) \| (\w+: .*) \|$", (ROOT / "docs/search.md").read_text(), re.M)

    def shown(name: str, dimension: Choices | Span) -> str:
        if isinstance(dimension, Choices):
            values = [json.dumps(value).strip('"') for value in dimension.values]
            return f"{name}: {', '.join(values)}"
        ends = f"{name}: {dimension.low:g} to {dimension.high:g}"
        return f"{ends} log" if dimension.log else ends

    assert dict(rows) == {
        kind.name: "; ".join(shown(*one) for one in default_space(kind, 1_000, 1).items())
        for kind in classifiers.catalogue()
    }


def test_the_readme_stays_short() -> None:
    assert len(README.splitlines()) <= 150


def test_make_alone_lists_the_targets() -> None:
    shown = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True)

    listed = {line.split()[0] for line in shown.stdout.splitlines() if line.startswith("  ")}
    assert {"run", "test", "check", "bench", "bench-peers", "bench-check", "soak", "fuzz", "image",
            "cluster", "deploy", "e2e", "format", "setup", "audit", "sbom",
            "scan", "clients", "browser", "vendor"} <= listed  # fmt: skip


def _leaves(kind: type[ServiceError]) -> set[type[ServiceError]]:
    below = kind.__subclasses__()
    return {kind} if not below else set().union(*map(_leaves, below))


def test_every_error_has_a_status() -> None:
    leaves = _leaves(ServiceError) - {errors.StartError}

    assert leaves <= set(problems.TABLE)
    # InvalidRequest is raised directly, although other errors derive from it.
    assert set(problems.TABLE) - leaves == {errors.InvalidRequest}


def test_the_built_in_data_sets_are_the_same_everywhere() -> None:
    assert BUILT_IN_DATA_SETS == BUILT_IN


@pytest.mark.parametrize(
    "lock",
    [
        "requirements.lock",
        "requirements-grpc.lock",
        "requirements-server.lock",
        "requirements-dev.lock",
        "tests/fuzz/requirements.txt",
        "tools/supply/requirements.txt",
        "tools/supply/scan.txt",
        *(f"tools/bench/peers/{peer}.txt" for peer in ("bentoml", "mlflow", "mlserver")),
        *(f"tests/clients/{client}.txt" for client in ("kserve", "mlflow", "triton")),
    ],
)
def test_a_lock_has_hashes_and_no_addresses(lock: str) -> None:
    text = (ROOT / lock).read_text()

    assert "--hash=sha256:" in text
    assert "://" not in text


def test_no_python_file_outgrows_its_noun() -> None:
    # A single list of all errors is more useful than short files.
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "service").rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 320 and path.name != "errors.py"
    }

    assert long == {}
