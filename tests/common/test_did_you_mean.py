"""The most similar of the valid names, among a few and among thousands."""

import time

import pytest

from service.common.did_you_mean import Names, did_you_mean

IRIS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ("petal_width", "petal width (cm)"),
        ("PETAL WIDTH CM", "petal width (cm)"),
        ("sepal lenght (cm)", "sepal length (cm)"),
        ("colour", None),
        ("", None),
        (3, None),
    ],
)
def test_the_nearest_name_is_found_where_one_is_alike(sent: object, found: str | None) -> None:
    assert Names(IRIS).nearest(sent) == found


def test_names_that_are_there_already_are_not_suggested() -> None:
    names = Names(("petal width", "petal_width", "petal length"))

    assert names.nearest("petal widht", without={"petal width": 1}) == "petal_width"
    assert names.nearest("Petal Width", without={"petal width", "petal_width"}) == "petal length"


@pytest.mark.parametrize("sent", ["feature_512x", "faeture_5123", "feature 5123", "eature_5123"])
def test_a_slip_at_either_end_is_found_among_thousands(sent: str) -> None:
    found = Names([f"feature_{index}" for index in range(9000)]).nearest(sent)

    assert found is not None
    assert found.startswith("feature_5")


def test_a_suggestion_costs_little_however_many_names_there_are() -> None:
    names = Names([f"a long name of feature number {index}" for index in range(9000)])

    start = time.thread_time()
    for index in range(50):
        names.nearest(f"a lnog naem fo feature {index}")

    assert (time.thread_time() - start) / 50 < 0.002


def test_did_you_mean_is_a_clause_or_nothing() -> None:
    assert did_you_mean("petal_width", IRIS) == "; did you mean 'petal width (cm)'?"
    assert did_you_mean("colour", IRIS) == ""


@pytest.mark.parametrize("name", ["back\\slash", "no\u00a0break", "it's", "tab\there", "ünï"])
def test_a_name_is_quoted_as_it_was_sent(name: str) -> None:
    assert did_you_mean(f"{name}x", [name]) == f"; did you mean '{name}'?"
