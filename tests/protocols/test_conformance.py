"""The suite in `conformance/` runs against the real service, with models of several kinds."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for

ROOT = Path(__file__).parents[2]

MODELS = ("iris", "mixed", "single")
"""Four numbers; a number, a text and a boolean; one number, which alone can be sent raw."""

_EXAMPLES: dict[str, list[tuple[str, str, list[object]]]] = {
    "mixed": [
        ("size", "FP64", [1.5, 7.25, 3.0]),
        ("colour", "BYTES", ["rot", "grün", "rot"]),
        ("ripe", "BOOL", [True, False, False]),
    ],
    "single": [("x", "FP64", [1.0, 8.0, 2.5])],
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each test of the suite, by its name."""

    code: int
    output: str
    skipped: dict[str, str]
    ran: set[str]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service with the models; iris is in use."""
    folder = tmp_path_factory.mktemp("protocols")
    with serve(settings_for(folder / "data"), FakeRegistry(folder)) as client:
        rows: list[list[object]] = [
            [i % 10 + 0.5, ("rot", "grün")[i % 2], i % 3 == 0, i % 10 > 4] for i in range(60)
        ]
        mixed = {"columns": ["size", "colour", "ripe", "kind"], "rows": rows}
        client.train(name="mixed", model_type="GaussianNB", dataset=mixed, target="kind")
        single = {"columns": ["x", "kind"], "rows": [[row[0], row[3]] for row in rows]}
        client.train(name="single", model_type="GaussianNB", dataset=single, target="kind")
        client.train(name="iris", model_type="LogisticRegression", dataset="iris")
        yield client


@pytest.fixture(scope="module")
def outcomes(service: Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """The outcome of the suite by model."""
    return {name: _judge(service, name, tmp_path_factory.mktemp(name)) for name in MODELS}


def _judge(service: Client, name: str, folder: Path) -> Outcome:
    options = ["--base-url", str(service.base_url), "--model", name]
    options += ["--repository", "--v1", "--gzip", "--tabular"]
    if name in _EXAMPLES:
        example = folder / "example.json"
        inputs = [
            {"name": column, "datatype": datatype, "shape": [3, 1], "data": data}
            for column, datatype, data in _EXAMPLES[name]
        ]
        example.write_text(json.dumps({"inputs": inputs}))
        options += ["--example", str(example)]
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "conformance", "-p", "no:xdist", "--tb=short"]
    ended = subprocess.run(
        [*command, f"--junitxml={report}", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    cases = list(ElementTree.parse(report).iter("testcase"))
    skips = {_name(case): case.find("skipped") for case in cases}
    skipped = {case: str(skip.get("message")) for case, skip in skips.items() if skip is not None}
    return Outcome(ended.returncode, ended.stdout, skipped, skips.keys() - skipped)


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


@pytest.mark.parametrize("name", MODELS)
def test_the_service_conforms_to_the_protocol(outcomes: dict[str, Outcome], name: str) -> None:
    assert outcomes[name].code == 0, outcomes[name].output
    assert len(outcomes[name].ran) > 150


def test_every_test_of_the_suite_runs_for_a_model(outcomes: dict[str, Outcome]) -> None:
    every = set().union(*(outcome.ran | outcome.skipped.keys() for outcome in outcomes.values()))
    ran = set().union(*(outcome.ran for outcome in outcomes.values()))

    assert {case: outcomes["iris"].skipped.get(case) for case in every - ran} == {}
