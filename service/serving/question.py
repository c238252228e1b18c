"""A request for predictions, whatever protocol it came by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from service.models.classifier import Floats, Labels

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """The rows of a request, and how its answer is written."""

    matrix: Floats
    """[N, F], as the schema's decoder makes it."""
    probabilities: bool
    write: Callable[[Labels, Floats | None], T]
    """Makes the reply of the index of the class of each row, [N], and the probabilities, [N, K]."""


class Reader(Protocol[T]):
    """Reads the body of a request in one protocol."""

    def quick(self, body: bytes) -> Question[T] | None:
        """Read it with compiled decoders alone; None says nothing about it: use `careful`."""

    def careful(self, body: bytes) -> Question[T]:
        """Read it slowly; raises InvalidInput with what is wrong, or BodyTooLarge."""
