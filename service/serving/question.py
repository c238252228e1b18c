"""A request for predictions, the same for all protocols."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from service.models.classifier import Floats, Labels

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """The rows of a request, and how to write its reply."""

    matrix: Floats
    """[N, F], as the schema's decoder makes it."""
    probabilities: bool
    write: Callable[[Labels, Floats | None], T]
    """Makes the reply, given each row's index of its class, [N], and the probabilities, [N, K]."""


class Reader(Protocol[T]):
    """Reads the body of a request in one protocol."""

    def quick(self, body: bytes) -> Question[T] | None:
        """Read it with compiled decoders alone. If that returns None, use `careful`."""

    def careful(self, body: bytes) -> Question[T]:
        """Read it thoroughly; raises InvalidInput with all that is wrong, or BodyTooLarge."""
