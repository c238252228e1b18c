"""True labels: which class a value or a text means, and what is said of one that is none."""

import pytest

from service.common.domain import Label
from service.common.errors import InvalidInput, Problem
from service.schema.contract import FeatureType
from service.schema.labels import Labels, refuse_labels

TEXTS, NUMBERS, FLAGS = ("no", "yes"), (0, 1, 10), (False, True)


@pytest.mark.parametrize(
    ("classes", "label", "code"),
    [
        (TEXTS, "yes", 1),
        (TEXTS, " yes", None),
        (TEXTS, True, None),
        (NUMBERS, 10, 2),
        (NUMBERS, 10.0, None),
        (NUMBERS, True, None),
        (NUMBERS, "10", None),
        (FLAGS, True, 1),
        (FLAGS, 1, None),
        (FLAGS, [True], None),
        (FLAGS, None, None),
    ],
)
def test_a_json_value_is_the_class_of_its_type(
    classes: tuple[Label, ...], label: object, code: int | None
) -> None:
    assert Labels(classes).code(label) == code


@pytest.mark.parametrize(
    ("classes", "text", "code"),
    [
        (TEXTS, " yes ", 1),
        (TEXTS, "Yes", None),
        (NUMBERS, "10", 2),
        (NUMBERS, "1e1", 2),
        (NUMBERS, "1.0", 1),
        (NUMBERS, "1.5", None),
        (NUMBERS, "nan", None),
        (NUMBERS, "inf", None),
        (FLAGS, "TRUE", 1),
        (FLAGS, "1", None),
        (("01", "1"), "01", 0),
        (("01", "1"), "1", 1),
    ],
)
def test_a_text_of_a_file_is_the_class_that_it_spells(
    classes: tuple[Label, ...], text: str, code: int | None
) -> None:
    assert Labels(classes).code_of_text(text) == code


@pytest.mark.parametrize(
    ("classes", "kind"),
    [(TEXTS, "text"), (NUMBERS, "number"), (FLAGS, "boolean"), ((1, "a"), "text")],
)
def test_labels_have_the_type_of_a_column(classes: tuple[Label, ...], kind: FeatureType) -> None:
    assert Labels(classes).type == kind


def test_a_refusal_names_what_may_be_sent() -> None:
    assert Labels(TEXTS).refusal("maybe").endswith("; there are: 'no', 'yes'")
    assert Labels(TEXTS).refusal("yse").endswith("; did you mean 'yes'?")
    assert "as a text" in Labels(NUMBERS).refusal("10")
    assert Labels(TEXTS).refusal(None) == "is missing"


def test_problems_of_instances_and_labels_share_the_room() -> None:
    error = InvalidInput("20 problems.", [Problem(f"/instances/{at}", "x") for at in range(20)])
    wrong = {f"/labels/{at}": "is no class; did you mean 'y'?" for at in range(20)}

    both = refuse_labels(wrong, 25, 30, error)
    alone = refuse_labels(wrong, 25, 30, None)

    assert len(both.problems) == len(alone.problems) == 20
    assert sum(one.pointer.startswith("/labels") for one in both.problems) == 10
    assert str(alone) == "25 labels of 30: /labels/0 is no class. Nothing was counted."
    assert str(both) == f"20 problems. {alone}"
    assert refuse_labels({}, 0, 30, error) is error
