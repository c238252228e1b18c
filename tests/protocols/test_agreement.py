"""The same rows in every protocol: the same labels with their types, the same probabilities."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from service.worker.learning.classifiers import catalogue
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for
from tests.support.ways import Asked, answers

KINDS = [kind.name for kind in catalogue()]

EXTREMES = (
    *(0.0, -0.0, 5e-324, -5e-324, 2.2e-310, 2.2250738585072014e-308, 1e-30, 1e15, 2.0**53 + 1),
    *(1e30, -1e37, 3.5e38, 1e50, -1.1e50, 1e154, 1e300, 1.7976931348623157e308),
)

PARAMS = {"NuSVC": {"nu": 0.1}, "QuadraticDiscriminantAnalysis": {"reg_param": 0.1}}
"""Without these, scikit-learn cannot fit them to the mixed rows."""

FLOWERS = ([5.1, 3.5, 1.4, 0.2], [6.0, 2.8, 4.5, 1.4], [6.5, 3.0, 5.5, 2.0])

_MIXED = ("age", "seen", "city", "vip", "flag")


def mixed_rows(count: int, seed: int = 1) -> list[list[Any]]:
    """Make rows of `_MIXED`, all of whose columns but two have gaps."""
    draw = random.Random(seed)
    return [
        [
            None if draw.random() < 0.1 else draw.gauss(40, 10),
            1.7e9 + draw.randrange(10**6),
            draw.choice(["Rio", "São Paulo", "a:b", 'q"\\', None]),
            draw.choice([True, False, False, None]),
            draw.random() < 0.5,
        ]
        for _ in range(count)
    ]


def mixed_training(labels: Sequence[object]) -> dict[str, Any]:
    """Return the data set and target of a training on `mixed_rows`."""
    rows = mixed_rows(150)
    labelled = [
        [*row, labels[((row[0] or 40) > 40) + (row[2] == "Rio" and len(labels) > 2)]]
        for row in rows
    ]
    return {"dataset": {"columns": [*_MIXED, "label"], "rows": labelled}, "target": "label"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("agreement")
    with serve(settings_for(folder / "data"), FakeRegistry(folder)) as client:
        yield client


def train(client: Client, **body: Any) -> Asked:
    """Put a new version in use; return an empty request to it."""
    made = client.train(**body, wait=120)
    features = client.get("/schema").json()["features"]
    types = [(feature["name"], feature["type"]) for feature in features]
    return Asked(made["name"], made["version"], types, [], False)


def disagreements(
    client: Client, model: Asked, rows: Sequence[Sequence[Any]], files: bool = False
) -> tuple[list[str], int, int]:
    """Ask for these rows in every way, with and without probabilities.

    Return who disagrees with `/predict`, how many answers there were, and its last status.
    """
    found, count, status = [], 0, 0
    for probabilities in (True, False):
        asked = Asked(model.name, model.version, model.features, rows, probabilities)
        (_, first), *others = answers(client, asked, files)
        count += 1 + len(others)
        status = first.status
        found += [
            f"{way} with {len(rows)} rows like {rows[0]}: {one.status}, not {first.status}"
            for way, one in others
            if not one.agrees(first)
        ]
    return found, count, status


def number_rows() -> list[list[float]]:
    """Make rows of four numbers, one or all of which are extreme."""
    plain, width = FLOWERS[0], len(FLOWERS[0])
    one = [[*plain[: at % width], number, *plain[at % width + 1 :]]
           for at, number in enumerate(EXTREMES)]  # fmt: skip
    return [plain, *one, *([number] * width for number in EXTREMES[:5])]


def check(client: Client, model: Asked, singles: Sequence[Sequence[Any]], more: Any) -> int:
    """Assert that all ways agree about single rows, and about those that can be answered."""
    wrong, answerable, count = [], [], 0
    for row in singles:
        found, answered, status = disagreements(client, model, [row])
        wrong += found
        count += answered
        if status == 200:
            answerable.append(row)
    assert singles[0] in answerable
    for rows in (answerable, [*answerable, *more]):
        found, answered, status = disagreements(client, model, rows, files=True)
        assert status == 200
        wrong += found
        count += answered
    assert wrong == []
    return count


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_classifier_of_numbers_answers_alike_in_all_protocols(
    service: Client, kind: str, record_property: Any
) -> None:
    model = train(service, name="iris", model_type=kind, dataset="iris")
    draw = random.Random(kind)
    more = [[cell + draw.gauss(0, 0.2) for cell in draw.choice(FLOWERS)] for _ in range(300)]

    record_property("answers", check(service, model, number_rows(), more))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_classifier_of_mixed_types_answers_alike_in_all_protocols(
    service: Client, kind: str, record_property: Any
) -> None:
    body = {"params": PARAMS.get(kind, {}), **mixed_training([0, 1, 2])}
    model = train(service, name="mixed", model_type=kind, **body)
    singles = mixed_rows(8, 2)
    singles += [[number, *singles[0][1:]] for number in EXTREMES[:8]]

    record_property("answers", check(service, model, singles, mixed_rows(300, 3)))


@pytest.mark.parametrize("labels", [["no", "ja: é"], [7, -(2**40)], [True, False]])
def test_labels_keep_their_type_in_all_protocols(service: Client, labels: list[object]) -> None:
    kind = "LogisticRegression"
    model = train(service, name="labels", model_type=kind, **mixed_training(labels))

    check(service, model, mixed_rows(6, 4), mixed_rows(20, 5))
