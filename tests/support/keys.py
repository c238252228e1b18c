"""Lines of a key file, and the clock that decides when the file is read again."""

import hashlib


def line(role: str, secret: str) -> str:
    return f"{role}: {hashlib.sha256(secret.encode()).hexdigest()}\n"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 2  # each call returns a time two seconds after the previous one
        return self.now
