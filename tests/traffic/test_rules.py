"""The rules decide what their figures say, and nothing before there are rows enough."""

from dataclasses import replace
from typing import Any

import pytest

from service.common.traffic import Compared, Rules
from service.traffic.evidence import ENOUGH, evidence
from service.traffic.rules import TIMED_ENOUGH, Judgement, judge

RULES = Rules(
    rows=2000,
    agreement=0.97,
    errors=0.001,
    latency_ratio=1.5,
    quality="not worse",
    promote=True,
    end=True,
)
GOOD = Compared(
    in_use_rows=20_000,
    rows=2500,
    agreed=2450,
    disagreed={"0 1": 50},
    errors=1,
    timed=100,
    in_use_seconds=0.01,
    second_seconds=0.012,
    outcomes=2000,
    only_in_use_right=4,
    only_second_right=10,
)


def holds(judgement: Judgement) -> dict[str, bool | None]:
    return {figure.name: figure.holds for figure in judgement.figures}


def test_a_version_that_shows_all_that_is_asked_is_promoted() -> None:
    judgement = judge(RULES, GOOD)

    assert judgement.decision == "promote"
    assert set(holds(judgement).values()) == {True}
    values = {figure.name: (figure.value, figure.bound) for figure in judgement.figures}
    assert values == {
        "rows": (2500, 2000),
        "agreement": (0.98, 0.97),
        "errors": (1 / 2501, 0.001),
        "latency_ratio": (pytest.approx(1.2), 1.5),
        "quality": (evidence(4, 10, 2000).not_worse, ENOUGH),
        "worse": (evidence(4, 10, 2000).worse, ENOUGH),
    }


def test_without_rules_people_decide() -> None:
    assert judge(None, GOOD).decision == "wait"
    assert judge(None, GOOD).figures == ()


def test_nothing_is_decided_before_there_are_rows_enough() -> None:
    bad = replace(GOOD, rows=1998, agreed=0, only_in_use_right=500, second_seconds=1.0)

    judgement = judge(RULES, bad)

    assert judgement.decision == "wait"
    assert set(holds(judgement).values()) == {None}


WRONG = [
    ("agreement", {"agreed": 2424}),
    ("errors", {"errors": 3}),
    ("latency_ratio", {"second_seconds": 0.0151}),
    ("worse", {"only_in_use_right": 30}),
]


@pytest.mark.parametrize(("name", "change"), WRONG)
def test_one_rule_that_does_not_hold_ends_it(name: str, change: dict[str, Any]) -> None:
    judgement = judge(RULES, replace(GOOD, **change))

    assert judgement.decision == "end"
    assert holds(judgement)[name] is False
    assert [one for one, held in holds(judgement).items() if held is False] == [name]


@pytest.mark.parametrize(("name", "change"), WRONG)
def test_where_it_is_not_to_end_by_itself_the_sentence_says_that_a_rule_does_not_hold(
    name: str, change: dict[str, Any]
) -> None:
    judgement = judge(replace(RULES, end=False), replace(GOOD, **change))

    assert judgement.decision == "wait"
    assert holds(judgement)[name] is False
    assert judgement.sentence.startswith(
        "One of the rules does not hold; what follows is left to people: "
    )


def test_where_it_is_not_to_be_promoted_by_itself_the_sentence_says_that_all_hold() -> None:
    judgement = judge(replace(RULES, promote=False), GOOD)

    assert judgement.decision == "wait"
    assert judgement.sentence.startswith("All rules hold; what follows is left to people: ")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("agreement", {"agreed": 2425}),
        ("errors", {"rows": 2997, "agreed": 2997, "errors": 3}),
        ("latency_ratio", {"second_seconds": 0.015}),
    ],
)
def test_a_figure_on_its_bound_holds(name: str, change: dict[str, Any]) -> None:
    assert holds(judge(RULES, replace(GOOD, **change)))[name] is True


def test_a_latency_that_was_never_measured_and_outcomes_that_nobody_told_are_waited_for() -> None:
    untimed = replace(GOOD, timed=0, in_use_seconds=0.0, second_seconds=0.0)
    untold = replace(GOOD, outcomes=0, only_in_use_right=0, only_second_right=0)

    assert judge(RULES, untimed).decision == judge(RULES, untold).decision == "wait"
    assert holds(judge(RULES, untimed))["latency_ratio"] is None
    assert holds(judge(RULES, untold)) == {**holds(judge(RULES, GOOD)), "quality": None}


@pytest.mark.parametrize("second_seconds", [0.012, 1.0])
def test_a_latency_of_few_timings_decides_nothing_and_the_sentence_says_how_many_are_needed(
    second_seconds: float,
) -> None:
    few = replace(GOOD, timed=TIMED_ENOUGH - 1, second_seconds=second_seconds)

    judgement = judge(RULES, few)

    assert judgement.decision == "wait"
    assert holds(judgement) == {**holds(judge(RULES, GOOD)), "latency_ratio": None}
    assert "(at most 1.5, undecided: 99 of 100 rows timed)" in judgement.sentence
    assert "timed)" not in judge(RULES, replace(few, timed=TIMED_ENOUGH)).sentence


def test_a_version_of_few_timings_still_ends_by_another_rule() -> None:
    assert judge(RULES, replace(GOOD, timed=1, agreed=0)).decision == "end"


def test_better_asks_for_more_than_not_worse() -> None:
    asked = replace(RULES, quality="better")

    assert judge(asked, GOOD).decision == "wait"
    assert judge(asked, replace(GOOD, only_second_right=30)).decision == "promote"
    assert judge(asked, replace(GOOD, only_in_use_right=40)).decision == "end"


def test_a_version_that_is_shown_to_be_worse_fails_even_if_by_less_than_the_margin() -> None:
    close = replace(GOOD, outcomes=100_000, only_in_use_right=600, only_second_right=400)
    shown = evidence(600, 400, 100_000)
    assert min(shown.worse, shown.not_worse) >= ENOUGH

    assert judge(RULES, close).decision == "end"


def test_a_version_that_can_answer_nothing_ends_by_its_errors() -> None:
    mute = Compared(in_use_rows=5000, errors=2000)

    judgement = judge(RULES, mute)

    assert judgement.decision == "end"
    assert holds(judgement) == {
        "rows": None, "agreement": None, "errors": False, "latency_ratio": None, "quality": None,
        "worse": None,
    }  # fmt: skip


def test_few_rows_that_agree_among_many_errors_promote_nothing() -> None:
    rules = Rules(rows=2000, agreement=0.97, promote=True, end=True)

    assert judge(rules, Compared(rows=5, agreed=5, errors=10_000)).decision == "wait"


def test_errors_of_the_version_in_use_are_not_held_against_the_second_one() -> None:
    assert judge(RULES, replace(GOOD, in_use_errors=2000)) == judge(RULES, GOOD)


def test_only_what_is_asked_is_looked_at() -> None:
    judgement = judge(Rules(rows=2000, promote=True), replace(GOOD, agreed=0, errors=2000))

    assert judgement.decision == "promote"
    assert holds(judgement) == {"rows": True}


def test_the_sentence_says_the_decision_with_its_figures() -> None:
    assert judge(RULES, replace(GOOD, agreed=2424)).sentence == (
        "The second version goes, since one of the rules does not hold: "
        "rows that both answered: 2,500 (2,000 needed, holds); "
        "agreement: 96.96 % (at least 97 %, does not hold); "
        "errors: 0.039984 % (at most 0.1 %, holds); "
        "times as long for a row: 1.2 (at most 1.5, holds); "
        "evidence of its quality: 197,300 (20 needed, holds); "
        "evidence that it is worse: 0.468 (less than 20, holds)."
    )


def test_evidence_above_a_million_is_told_as_that() -> None:
    plenty = replace(GOOD, outcomes=50_000, only_second_right=1000)

    sentence = judge(RULES, plenty).sentence

    assert "evidence of its quality: more than 1,000,000 (20 needed, holds)" in sentence


@pytest.mark.parametrize("rows", [999_999, 5_000_000])
def test_only_evidence_is_told_as_more_than_a_million(rows: int) -> None:
    assert f"rows that both answered: {rows:,} (" in judge(RULES, replace(GOOD, rows=rows)).sentence


def test_the_sentence_is_short_whatever_the_figures_are() -> None:
    huge = Compared(
        rows=10**15, agreed=10**15 - 1, errors=10**15 // 3, timed=1, in_use_seconds=1e-9,
        second_seconds=1e9, outcomes=10**15, only_in_use_right=10**14, only_second_right=1,
    )  # fmt: skip

    for rules in (RULES, replace(RULES, end=False)):
        assert len(judge(rules, huge).sentence) < 1000
