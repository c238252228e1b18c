"""What makes a version that version: its run, its digest and when it was registered."""

from dataclasses import replace

import numpy as np
import pytest

from service.common.domain import Use, Version
from service.skew.tallies import Tallies
from tests.support.fakes import make_version
from tests.support.references import FAR_MORE, MIXED, mixed_rows, reference_of

VERSION = make_version(
    name="iris",
    version=3,
    run_id="a" * 32,
    created_at=1_700_000_000.123,
    sha256={"model.onnx": "b" * 64},
)
SAME: dict[str, Version] = {
    "itself": VERSION,
    "its model renamed": replace(VERSION, name="flowers"),
    "its time rounded elsewhere": replace(VERSION, created_at=1_700_000_000.1230001),
    "what may change": replace(VERSION, aliases=("best",), metrics={"accuracy": 1.0}),
}
OTHERS: dict[str, Version] = {
    "of another run": replace(VERSION, run_id="c" * 32),
    "of another file": replace(VERSION, sha256={"model.onnx": "d" * 64}),
    "a copy, a millisecond later": replace(VERSION, created_at=1_700_000_000.124),
}


def is_same_everywhere(other: Version) -> set[bool]:
    """Return what each part of the service says: whether it is the same version."""
    schema, reference = reference_of(MIXED, mixed_rows(50), np.array([5, 5]))
    tallies = Tallies(FAR_MORE)
    use = Use.begin(1, VERSION, "a test", 0.0)
    return {
        other.identity == VERSION.identity,
        use.is_of(other),
        tallies.open(VERSION, schema, reference) is tallies.open(other, schema, reference),
    }


@pytest.mark.parametrize("case", SAME)
def test_a_version_is_known_again_by_all(case: str) -> None:
    assert is_same_everywhere(SAME[case]) == {True}


@pytest.mark.parametrize("case", OTHERS)
def test_another_version_is_taken_for_it_by_none(case: str) -> None:
    assert is_same_everywhere(OTHERS[case]) == {False}


def test_an_entry_without_a_time_is_of_the_version_of_its_name() -> None:
    by_hand = replace(Use.begin(1, VERSION, "a test", 0.0), created_at=0.0, sha256="")

    assert by_hand.is_of(VERSION)
    assert not by_hand.is_of(SAME["its model renamed"])
