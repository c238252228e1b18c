"""The rate limit of a key: N requests a second, of which N may arrive at once."""


class TokenBucket:
    """A bucket that fills at a constant rate; each request takes a token. For one thread."""

    __slots__ = ("_since", "_tokens", "per_second")

    def __init__(self, per_second: int, now: float) -> None:
        self.per_second = per_second
        self._tokens = float(per_second)
        self._since = now

    def take(self, now: float) -> bool:
        """Take a token; return whether there was one. `now`: seconds of a monotonic clock."""
        filled = self._tokens + (now - self._since) * self.per_second
        self._tokens = min(filled, float(self.per_second))
        self._since = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
