"""Keys as their file has them, and the clock by which they are read again."""

import hashlib


def line(role: str, secret: str) -> str:
    return f"{role}: {hashlib.sha256(secret.encode()).hexdigest()}\n"


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 2  # every question comes two seconds after the last one
        return self.now
