"""The nearest of the names that would have been right, for "did you mean"."""

import difflib
from bisect import bisect_left
from collections.abc import Container, Iterable
from itertools import pairwise

from service.common.errors import clip

_FEW = 32
"""Among so many names, each is looked at."""

_NEIGHBOURS = 8
"""Among more, only so many on each side of where the name sent would stand in the alphabet, and
as many by the last letters: a slip seldom spoils a name at both ends."""

_COMPARED = 4
"""difflib takes 20 us for a name: only those most alike by their pairs of letters get it."""


class Names:
    """Names that can be sent, made ready once, so that finding the nearest takes microseconds."""

    __slots__ = ("_backward", "_exact", "_forward")

    def __init__(self, names: Iterable[str]) -> None:
        plain = [(_plain(name), name) for name in names]
        self._exact = dict(plain)
        self._forward = sorted(plain)
        self._backward = sorted((text[::-1], name) for text, name in plain)

    def nearest(self, sent: object, without: Container[str] = ()) -> str | None:
        """Give the name most like `sent` that is not in `without`, or None where none is alike."""
        wanted = clip(sent)
        plain = _plain(wanted)
        found = self._exact.get(plain)
        if found is not None and found not in without:
            return found
        pairs = _pairs(plain)
        likely = sorted(
            (-_likeness(pairs, _pairs(text)), name)
            for text, name in self._candidates(plain)
            if name not in without
        )
        names = [name for _, name in likely[:_COMPARED]]
        matches = difflib.get_close_matches(wanted, names, n=1, cutoff=0.6)
        return matches[0] if matches else None

    def did_you_mean(self, sent: object, without: Container[str] = ()) -> str:
        """Give "; did you mean 'x'?", or nothing."""
        found = self.nearest(sent, without)
        return f"; did you mean {found!r}?" if found is not None else ""

    def _candidates(self, plain: str) -> Iterable[tuple[str, str]]:
        if len(self._forward) <= _FEW:
            return self._forward
        at = bisect_left(self._forward, (plain, ""))
        near = set(self._forward[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS])
        at = bisect_left(self._backward, (plain[::-1], ""))
        ends = self._backward[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS]
        return near.union((text[::-1], name) for text, name in ends)


def did_you_mean(sent: object, names: Iterable[str]) -> str:
    """Give "; did you mean 'x'?", or nothing; for names that are asked for once."""
    return Names(names).did_you_mean(sent)


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _likeness(one: set[tuple[str, str]], other: set[tuple[str, str]]) -> float:
    """Give the share of pairs in common (Dice's coefficient): a long name has many by chance."""
    return 2 * len(one & other) / (len(one) + len(other) or 1)


def _pairs(plain: str) -> set[tuple[str, str]]:
    return set(pairwise(plain))
