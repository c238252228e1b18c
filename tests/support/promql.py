"""The metrics of a PromQL query, the labels it matches, and those it groups by."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_MATCHER = re.compile(r'([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")')
_SELECTOR = re.compile(
    r"(?<![\w:.$])([a-zA-Z_:][\w:]*)\s*"  # a name that is not part of a number or a variable
    r'(\{(?:[^{}"]|"(?:[^"\\]|\\.)*")*\})?'
    r"(?!\s*\(|[\w:])"  # and not a function
)
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label: `status=~"5.."`."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric as a query selects it."""

    metric: str
    matchers: tuple[Matcher, ...]


def selectors(query: str) -> Iterator[Selector]:
    """Return every selector of a query."""
    text = re.sub(r"\[[^\]]*\]", "", _GROUPING.sub(" ", query))
    for found in _SELECTOR.finditer(_outside_strings(text)):
        if found[1] in _WORDS:
            continue
        braces = text[found.start(2) : found.end(2)] if found[2] else ""
        matchers = (Matcher(m[1], m[2], m[3][1:-1]) for m in _MATCHER.finditer(braces))
        yield Selector(found[1], tuple(matchers))


def grouped_by(query: str) -> set[str]:
    """Return every label that a query aggregates by or joins on."""
    lists = (found[2] for found in _GROUPING.finditer(_outside_strings(query)))
    return {label.strip() for labels in lists for label in labels.split(",") if label.strip()}


def _outside_strings(text: str) -> str:
    """Blank quoted strings, so that they are not taken for names; lengths stay the same."""
    return _STRING.sub(lambda found: '"' + " " * (len(found[0]) - 2) + '"', text)
