"""The suite in `conformance/` runs against the real service, with models of several kinds."""

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
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
    """A service without a model."""
    folder = tmp_path_factory.mktemp("protocols")
    with serve(settings_for(folder / "data"), FakeRegistry(folder)) as client:
        yield client


@pytest.fixture(scope="module")
def outcome_of(
    service: Client, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Outcome]:
    """Return the suite's outcome for a model, which is trained when it is asked for."""

    @functools.cache
    def judge(name: str) -> Outcome:
        _train(service, name)
        return _judge(service, name, tmp_path_factory.mktemp(name))

    return judge


def _train(service: Client, name: str) -> None:
    if name == "iris":
        service.train(name=name, model_type="LogisticRegression", dataset="iris")
        return
    rows: list[list[object]] = [
        [i % 10 + 0.5, ("rot", "grün")[i % 2], i % 3 == 0, i % 10 > 4] for i in range(60)
    ]
    table = {"columns": ["size", "colour", "ripe", "kind"], "rows": rows}
    if name == "single":
        table = {"columns": ["x", "kind"], "rows": [[row[0], row[3]] for row in rows]}
    service.train(name=name, model_type="GaussianNB", dataset=table, target="kind")


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


@pytest.mark.parametrize(
    "name", [MODELS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS[1:])]
)
def test_the_service_conforms_to_the_protocol(
    outcome_of: Callable[[str], Outcome], name: str
) -> None:
    outcome = outcome_of(name)

    assert outcome.code == 0, outcome.output
    assert len(outcome.ran) > 150


@pytest.mark.slow
def test_every_test_of_the_suite_runs_for_a_model(outcome_of: Callable[[str], Outcome]) -> None:
    outcomes = [outcome_of(name) for name in MODELS]
    every = set().union(*(outcome.ran | outcome.skipped.keys() for outcome in outcomes))
    ran = set().union(*(outcome.ran for outcome in outcomes))

    assert {case: outcomes[0].skipped.get(case) for case in every - ran} == {}
