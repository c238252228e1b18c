"""A translated row is what the other version's decoder makes of the same JSON."""

import json
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.common.errors import InvalidInput
from service.schema.contract import Feature, FeatureType, Schema
from service.schema.decoder import Decoder, Limits
from service.traffic.translation import Matrix, Translation, class_indexes

LIMITS = Limits(rows=50)
WORDS = ("Lima", "Oslo", "Rome", "Rīga", "")
NUMBERS = (-1e300, -3.5, 0.0, 0.1, 1.0, 2.0, 7.25, 1e60)


def features(kinds: dict[str, FeatureType]) -> st.SearchStrategy[tuple[Feature, ...]]:
    """Return features of these types, in any order, and what each may be."""

    @st.composite
    def draw(draw_: st.DrawFn) -> tuple[Feature, ...]:
        made = []
        for name in draw_(st.permutations(sorted(kinds))):
            nullable = draw_(st.booleans())
            if kinds[name] == "text":
                known = tuple(draw_(st.lists(st.sampled_from(WORDS), min_size=1, unique=True)))
                code = draw_(st.integers(-1, len(known) - 1))
                made.append(Feature(name, "text", nullable, known, missing_code=code))
            elif kinds[name] == "number" and draw_(st.booleans()):
                made.append(Feature(name, "number", nullable, low=-3.5, high=2.0))
            else:
                made.append(Feature(name, kinds[name], nullable))
        return tuple(made)

    return draw()


KINDS: st.SearchStrategy[dict[str, FeatureType]] = st.dictionaries(
    st.sampled_from(("a", "b", "c", "d", "e")),
    st.sampled_from(("number", "text", "boolean")),
    min_size=1,
)
UNKNOWN: st.SearchStrategy[Literal["refuse", "ignore"]] = st.sampled_from(("refuse", "ignore"))


def value_of(kind: FeatureType) -> st.SearchStrategy[Any]:
    values = {"text": st.sampled_from(WORDS), "number": st.sampled_from(NUMBERS)}
    return st.none() | values.get(kind, st.booleans())


def decoded(schema: Schema, row: dict[str, Any]) -> Matrix | None:
    """Return the row as the schema's decoder makes it; None if it is refused."""
    body = json.dumps({"instances": [row]}).encode()
    try:
        matrix, _ = Decoder(schema, LIMITS).decode(body)
    except InvalidInput:
        return None
    cells: Matrix = matrix[0]
    return cells


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_translating_is_decoding_by_the_other_schema(data: st.DataObject) -> None:
    kinds = data.draw(KINDS)
    source = Schema(data.draw(features(kinds)), ("a", "b"), unknown_categories=data.draw(UNKNOWN))
    target = Schema(data.draw(features(kinds)), ("a", "b"), unknown_categories=data.draw(UNKNOWN))
    rows = data.draw(
        st.lists(
            st.fixed_dictionaries({name: value_of(kind) for name, kind in kinds.items()}),
            min_size=1,
            max_size=8,
        )
    )
    known = {one.name: one.categories for one in source.features}
    asked = {one.name: one.categories for one in target.features}
    taken = [(row, cells) for row in rows if (cells := decoded(source, row)) is not None]
    if not taken:
        return
    matrix = np.array([cells for _, cells in taken])
    before = matrix.copy()

    found = Translation(source, target).translate(matrix)

    np.testing.assert_array_equal(matrix, before)
    assert found.matrix.flags.c_contiguous, "or the other version would seem to be slower"
    for place, (row, _) in enumerate(taken):
        expected = decoded(target, row)
        if found.lost[place]:
            assert not found.refused[place]
            assert any(
                isinstance(value, str) and value not in known[name]
                and not set(asked[name]) <= set(known[name])
                for name, value in row.items()
            )  # fmt: skip
        elif expected is None:
            assert found.refused[place]
        else:
            assert not found.refused[place]
            np.testing.assert_array_equal(found.matrix[place], expected)


CITY = Feature("city", "text", True, ("Lima", "Oslo"), missing_code=1)
OTHER = Feature("city", "text", True, ("Oslo", "Rome"), missing_code=0)


def test_missing_texts_stay_missing_for_the_other_version_to_fill() -> None:
    source, target = Schema((CITY,), ("a", "b")), Schema((OTHER,), ("a", "b"))

    found = Translation(source, target).translate(np.array([[np.nan], [1.0], [0.0]]))

    np.testing.assert_array_equal(found.matrix[:2], [[np.nan], [0.0]])
    assert found.refused.tolist() == [False, False, True]
    assert not found.lost.any()


@pytest.mark.parametrize(
    ("known", "unknown", "refused", "lost"),
    [
        (("Lima", "Oslo"), "refuse", True, False),
        (("Lima", "Oslo"), "ignore", False, False),
        (("Lima", "Rome"), "refuse", False, True),
        (("Lima", "Rome"), "ignore", False, True),
    ],
)
def test_a_text_that_was_unknown_is_lost_only_where_the_other_version_may_know_it(
    known: tuple[str, ...], unknown: Any, refused: bool, lost: bool
) -> None:
    source = Schema((CITY,), ("a", "b"), unknown_categories="ignore")
    target = Schema((Feature("city", "text", True, known),), ("a", "b"), unknown_categories=unknown)

    found = Translation(source, target).translate(np.array([[-1.0]]))

    assert (found.refused[0], found.lost[0]) == (refused, lost)


def test_a_lost_row_that_is_refused_for_another_reason_is_refused() -> None:
    source = Schema((CITY, Feature("x", "number", True)), ("a", "b"), unknown_categories="ignore")
    target = Schema((OTHER, Feature("x", "number")), ("a", "b"))

    found = Translation(source, target).translate(np.array([[-1.0, np.nan], [-1.0, 1.0]]))

    assert found.refused.tolist() == [True, False]
    assert found.lost.tolist() == [False, True]


def test_classes_are_found_again_whatever_their_order_and_type() -> None:
    features_ = (Feature("x", "number"),)
    source, target = Schema(features_, (1, True, "1")), Schema(features_, ("1", 1, True))

    assert class_indexes(source, target).tolist() == [1, 2, 0]
    assert class_indexes(target, source).tolist() == [2, 0, 1]
