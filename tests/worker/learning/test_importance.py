"""How well each feature alone tells the classes apart."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.feature_selection import f_classif

from service.worker.data.table import Column, Table, built_in
from service.worker.learning.fitting import Fitted
from service.worker.learning.importance import MOST_ROWS, with_importance
from tests.support.fitting import mixed, numbers, small, texts, trained


def importance(fitted: Fitted) -> dict[str, float]:
    found: dict[str, float] = {}
    for feature in fitted.schema.features:
        assert feature.importance is not None
        found[feature.name] = feature.importance
    return found


@pytest.mark.parametrize("kind", ["LogisticRegression", "RandomForestClassifier", "GaussianNB"])
def test_it_is_scikit_learns_f_scaled_to_a_largest_of_one(kind: str) -> None:
    table, target = built_in("iris")
    fitted = trained(table, target=target, model_type=kind)
    rows = fitted.train

    expected, _ = f_classif(fitted.X[rows], fitted.codes[rows])

    assert list(importance(fitted).values()) == pytest.approx(expected / expected.max(), rel=1e-3)


def test_a_text_has_that_of_its_most_telling_category() -> None:
    words = ["rare" if row in (4, 9) else ("left" if row % 2 else "right") for row in range(60)]
    fitted = trained(small(word=texts(words)))
    rows = fitted.train
    x, codes = fitted.X[rows, 0], fitted.codes[rows]
    encoded = [np.array(words)[rows] == word for word in ("left", "rare", "right")]

    of_x, *of_words = f_classif(np.column_stack([x, *encoded]), codes)[0]

    largest = max(of_x, *of_words)
    assert importance(fitted) == pytest.approx(
        {"x": of_x / largest, "word": max(of_words) / largest}, rel=1e-3
    )
    assert max(of_words) > 10 * min(of_words)


def test_every_kind_of_column_has_one_between_0_and_1() -> None:
    for kind in ("LogisticRegression", "HistGradientBoostingClassifier", "MultinomialNB"):
        found = importance(trained(mixed(), model_type=kind))

        assert set(found) == {"x", "gaps", "flag", "unsure", "word", "other"}
        assert max(found.values()) == 1.0
        assert all(0.0 <= value <= 1.0 for value in found.values())
        assert found["gaps"] > found["flag"]


def test_preprocessing_that_is_off_changes_nothing() -> None:
    table, target = built_in("wine")

    with_it = importance(trained(table, target=target))
    without = importance(trained(table, target=target, preprocessing="none"))

    assert without == pytest.approx(with_it, rel=1e-3)


def scored(columns: dict[str, Any], **keys: Any) -> dict[str, float]:
    return importance(
        trained(small(60, **{key: numbers(value) for key, value in columns.items()}), **keys)
    )


def test_a_constant_tells_nothing_and_a_copy_of_the_target_everything() -> None:
    half = np.arange(60) % 2

    found = scored({"same": np.full(60, 0.1), "copy": half * 3.7 + 1e6, "zero": np.zeros(60)})

    assert (found["same"], found["zero"], found["copy"]) == (0.0, 0.0, 1.0)
    assert 0 < found["x"] <= 1.0


@pytest.mark.parametrize("scale", [1e-150, 1e-9, 1e12, 1e140])
def test_the_unit_of_a_number_does_not_matter(scale: float) -> None:
    noise = np.random.default_rng(0).normal(size=60) + np.arange(60) % 2

    found = scored({"plain": noise, "scaled": noise * scale}, model_type="GaussianNB")

    assert found["scaled"] == pytest.approx(found["plain"], rel=1e-3)


def test_a_large_offset_hides_nothing() -> None:
    noise = np.round(np.random.default_rng(0).normal(size=60) * 8 + np.arange(60) % 2 * 8)

    # Neither scales what it sees.
    for kind in ("RandomForestClassifier", "GaussianNB"):
        found = scored({"plain": noise, "moved": noise + 1.7e12}, model_type=kind)

        assert found["moved"] == pytest.approx(found["plain"], rel=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_a_copy_of_the_target_leaves_the_order_of_the_others(seed: int) -> None:
    # Rounding leaves a huge F, a negative one, or infinity, depending on the values.
    values = np.random.default_rng(seed).random(3)
    group = np.arange(120) % 3
    random = np.random.default_rng(5)
    table = Table(
        {
            "copy": numbers(values[group]),
            "strong": numbers(random.normal(size=120) + 2 * group),
            "weak": numbers(random.normal(size=120) + 0.3 * group),
            "y": texts([f"class {k}" for k in group]),
        }
    )

    found = importance(trained(table, model_type="GaussianNB"))

    assert found["copy"] == 1.0
    assert 0.001 < found["weak"] < found["strong"] <= 1.0


def test_of_many_rows_a_part_is_enough() -> None:
    rows = 3 * MOST_ROWS
    random = np.random.default_rng(2)
    half = np.arange(rows) % 2
    table = small(
        rows,
        strong=numbers(random.normal(size=rows) + half),
        weak=numbers(random.normal(size=rows)),
    )

    found = importance(trained(table, model_type="GaussianNB"))

    assert found["weak"] < 0.01 * found["strong"]


def test_a_training_leaves_no_note_of_it() -> None:
    assert trained(small(same=numbers(np.ones(60)))).notes == trained(small()).notes


def test_rows_of_one_class_alone_tell_nothing() -> None:
    fitted = trained(small())
    bare = replace(fitted.schema, features=fitted.schema.features[:1])
    one = Column("number", np.arange(5.0))

    found = with_importance(bare, fitted.pipeline, one.values[:, None], np.zeros(5, np.int64))

    assert found.features[0].importance == 0.0
    assert Table({"x": one}).rows == 5
