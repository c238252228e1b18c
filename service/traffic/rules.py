"""What the rules say of a second version, with every figure that they look at."""

from dataclasses import dataclass
from typing import Literal

from service.common.traffic import Compared, Rules
from service.traffic.evidence import ENOUGH, evidence

TIMED_ENOUGH = 100
"""Rows with which both versions were timed, from which on their ratio is looked at: one slow run
could decide that of a few."""

Decision = Literal["wait", "promote", "end"]
Name = Literal["rows", "agreement", "errors", "latency_ratio", "quality", "worse"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was asked of the second version."""

    name: Name
    value: float | None
    """None where nothing is known of it."""
    bound: float
    """The largest value allowed of `errors` and `latency_ratio`, and the least of what else is
    asked. `worse` comes with `quality`: from its bound on, that has failed."""
    holds: bool | None
    """None while that is undecided."""
    lacks: str = ""
    """What is missing for a decision, where the other figures do not say it."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rules say."""

    decision: Decision
    figures: tuple[Figure, ...]
    sentence: str
    """The decision with its figures, in fewer than 1,000 characters, for the log of use."""


def judge(rules: Rules | None, compared: Compared) -> Judgement:
    """Look at the rules; without any, people decide."""
    if rules is None:
        return Judgement("wait", (), "There are no rules, so that people decide.")
    figures = tuple(_figures(rules, compared))
    holding = [figure.holds for figure in figures]
    decision: Decision = "wait"
    if False in holding:
        said = "One of the rules does not hold; what follows is left to people"
        if rules.end:
            decision, said = "end", "The second version goes, since one of the rules does not hold"
    elif None in holding:
        said = "The rules are undecided"
    else:
        said = "All rules hold; what follows is left to people"
        if rules.promote:
            decision, said = "promote", "The second version takes over, since all rules hold"
    told = "; ".join(map(_tell, figures))
    return Judgement(decision, figures, f"{said}: {told}.")


def _figures(rules: Rules, compared: Compared) -> list[Figure]:
    """Return what is asked.

    A version that cannot answer has few rows that agree or not, so errors are looked at before.
    Their share is of all rows that it was asked, here or by clients.
    """
    rows, asked = compared.rows, compared.rows + compared.errors
    enough = rows >= rules.rows
    figures = [Figure("rows", rows, rules.rows, enough or None)]

    def add(
        name: Name, value: float | None, bound: float, least: bool, looked_at: bool, lacks: str = ""
    ) -> None:
        holds = None
        if looked_at and value is not None:
            holds = value >= bound if least else value <= bound
        figures.append(Figure(name, value, bound, holds, lacks))

    if rules.agreement is not None:
        add("agreement", compared.agreement, rules.agreement, True, enough)
    if rules.errors is not None:
        share = compared.errors / asked if asked else None
        add("errors", share, rules.errors, False, asked >= rules.rows)
    if rules.latency_ratio is not None:
        ratio = compared.latency_ratio
        few = compared.timed < TIMED_ENOUGH
        lacks = f"{compared.timed} of {TIMED_ENOUGH} rows timed" if few else ""
        add("latency_ratio", ratio, rules.latency_ratio, False, enough and not few, lacks)
    if rules.quality is not None:
        shown = evidence(compared.only_in_use_right, compared.only_second_right, compared.outcomes)
        found = shown.better if rules.quality == "better" else shown.not_worse
        figures += [
            # That it is not shown yet does not mean that it is not so.
            Figure("quality", found, ENOUGH, (enough and found >= ENOUGH) or None),
            Figure("worse", shown.worse, ENOUGH, shown.worse < ENOUGH if enough else None),
        ]
    return figures


_PLENTY = 1_000_000
"""Evidence from here on is told as that: how far above it is does not matter."""

_WORDS: dict[Name, str] = {
    "rows": "rows that both answered: {value} ({bound} needed",
    "agreement": "agreement: {value} (at least {bound}",
    "errors": "errors: {value} (at most {bound}",
    "latency_ratio": "times as long for a row: {value} (at most {bound}",
    "quality": "evidence of its quality: {value} ({bound} needed",
    "worse": "evidence that it is worse: {value} (less than {bound}",
}


def _tell(figure: Figure) -> str:
    values = [
        "unknown" if value is None else _number(figure.name, value)
        for value in (figure.value, figure.bound)
    ]
    state = "undecided" if figure.holds is None else "holds" if figure.holds else "does not hold"
    if figure.lacks:
        state += f": {figure.lacks}"
    return f"{_WORDS[figure.name].format(value=values[0], bound=values[1])}, {state})"


def _number(name: Name, value: float) -> str:
    if name in ("agreement", "errors"):
        return f"{100 * value:.6g} %"  # so that a figure beside its bound does not look equal to it
    if name in ("quality", "worse") and value >= _PLENTY:
        return f"more than {_PLENTY:,}"
    return f"{value:,.0f}" if name == "rows" or value >= 1000 else f"{value:.4g}"
