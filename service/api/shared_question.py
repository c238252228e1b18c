"""A question that many clients ask at a time, and that is put once."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedQuestion(Generic[T]):
    """Lets all that ask while an answer is awaited get that one; for one event loop."""

    def __init__(self, put: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._put = put
        self._task: asyncio.Task[T] | None = None

    async def answer(self) -> T:
        """Return the answer that is awaited already, or else a new one."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._put())
        # A client that leaves must not end what others wait for.
        return await asyncio.shield(self._task)
