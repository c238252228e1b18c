"""How often a key may ask: so many requests a second, and a second's worth of them at once."""


class TokenBucket:
    """A bucket that fills at a rate; each request takes one. For one thread."""

    __slots__ = ("_left", "_since", "per_second")

    def __init__(self, per_second: int, now: float) -> None:
        self.per_second = per_second
        self._left = float(per_second)
        self._since = now

    def take(self, now: float) -> bool:
        """Take one, if one is left; `now` is in seconds, of a clock that does not go back."""
        filled = self._left + (now - self._since) * self.per_second
        self._left = min(filled, float(self.per_second))
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
