"""Candidates of a search that are known in advance: all combinations, or some drawn at random."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from sklearn.model_selection import ParameterGrid, ParameterSampler

from service.common.search import Trial
from service.schema.search import Search
from service.worker.learning.spaces import Choices, Space, Span
from service.worker.search.trials import WHOLE, Proposal, Share


class Candidates(Protocol):
    """Proposes what is tried next, and learns what came of it."""

    def propose(self) -> Proposal | None:
        """Return the next candidate; None where there is nothing new to try."""

    def is_hopeless(self, number: int, fold: int, mean: float) -> bool:
        """Return whether a trial with this mean over the folds up to this one should end."""

    def tell(self, number: int, value: float | None, *, pruned: bool = False) -> None:
        """Learn the end of a trial: its value, or None of one that failed or was pruned."""

    def learn(self, trial: Trial) -> None:
        """Learn of a trial that was made elsewhere, or before this process, and has ended."""


class ListedCandidates:
    """Proposes each of a list in its order, and ends none before its last fold."""

    def __init__(
        self, candidates: Iterable[tuple[str, Mapping[str, Any]]], share: Share = WHOLE
    ) -> None:
        numbered = enumerate(candidates, start=1)
        self._rest = ((number, one) for number, one in numbered if share.holds(number))
        self._made: set[int] = set()

    def propose(self) -> Proposal | None:
        """Return the next candidate that was not made before; None after the last."""
        for number, candidate in self._rest:
            if number not in self._made:
                return Proposal(number, candidate[0], candidate[1])
        return None

    def is_hopeless(self, number: int, fold: int, mean: float) -> bool:  # noqa: ARG002
        """Return False: the client wants all of them."""
        return False

    def tell(self, number: int, value: float | None, *, pruned: bool = False) -> None:
        """Do nothing: the order is fixed."""

    def learn(self, trial: Trial) -> None:
        """Pass over a trial that was made before."""
        self._made.add(trial.number)


def of_lists(search: Search, model_type: str, seed: int, share: Share = WHOLE) -> ListedCandidates:
    """Return the candidates of a list search."""
    params = search.params or {}
    drawn: Iterable[Mapping[str, Any]] = (
        ParameterGrid(params)
        if search.candidates == search.combinations
        else ParameterSampler(params, search.candidates, random_state=seed)
    )
    return ListedCandidates(((model_type, one) for one in drawn), share)


def combinations(spaces: Mapping[str, Space]) -> float:
    """Return the number of different candidates; infinite where a parameter is not whole."""
    total = 0.0
    for space in spaces.values():
        sizes = [dimension.size for dimension in space.values()]
        total += math.inf if None in sizes else math.prod(size or 0 for size in sizes)
    return total


def every(spaces: Mapping[str, Space]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every candidate of spaces that have a number of them."""
    for name, space in spaces.items():
        for values in itertools.product(*(_values(one) for one in space.values())):
            yield name, dict(zip(space, values, strict=True))


def _values(dimension: Choices | Span) -> Iterable[Any]:
    if isinstance(dimension, Choices):
        return dimension.values
    return range(int(dimension.low), int(dimension.high) + 1)
