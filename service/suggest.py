"""The nearest of the names that would have been right, for "did you mean"."""

import difflib
from collections.abc import Iterable

from service.errors import clip

_MOST = 200
"""difflib is slow: among more names than this, only those that begin alike are looked at."""


def nearest(sent: object, names: Iterable[str]) -> str | None:
    """Give the name most like `sent`, or None where none is alike."""
    wanted = clip(sent, 128)
    choices = list(names)
    plain = {_plain(name): name for name in choices}
    if (found := plain.get(_plain(wanted))) is not None:
        return found
    if len(choices) > _MOST:
        choices = [name for name in choices if name[:2].casefold() == wanted[:2].casefold()]
    matches = difflib.get_close_matches(wanted, choices[:_MOST], n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(sent: object, names: Iterable[str]) -> str:
    """Give "; did you mean 'x'?", or nothing."""
    found = nearest(sent, names)
    return f"; did you mean {found!r}?" if found is not None else ""


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
