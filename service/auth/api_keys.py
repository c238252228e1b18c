"""Who may do what: keys from a file, each with a role. Only digests of keys are ever in memory.

The file has a line for each key, `role: sha256 of the key in hex`, and behind that, where the key
has a limit, `200/s`; `#` begins a comment. Of a role there may be several, so that a new key is
added before the old one goes. The file is looked at again when it changes, a second later at most;
one that has become wrong changes nothing.
"""

import hashlib
import hmac
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from service.auth.token_bucket import TokenBucket
from service.common.errors import (
    Forbidden,
    RateExceeded,
    StartError,
    Unauthorized,
    clip,
)

logger = logging.getLogger(__name__)

ROLES = ("predict", "train", "admin")
"""Each may do all that those before it may."""

_LOOK_SECONDS = 1.0
_LARGEST = 64 * 1024
_LINE = re.compile(r"(\w+)\s*:\s*([0-9a-fA-F]{64})(?:\s+([1-9][0-9]{0,5})/s)?")
_BEARER = re.compile(rb"[Bb]earer +(\S{1,512})")

_Stamp = tuple[int, int, int]


class ApiKey(NamedTuple):
    """What is known of a key in force."""

    role: str
    quota: TokenBucket | None


class ApiKeys:
    """The keys in force. For one thread, the event loop's."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file; raises StartError with the line that is wrong."""
        self._path = path
        self._clock = clock
        self._looked = clock()
        self._generation = 0
        try:
            self._stamp = self._look()
            self._keys = _read(path, self._looked)
        except (OSError, ValueError) as error:
            raise StartError(f"SERVICE_API_KEYS_FILE: {_reason(error)}") from error

    @property
    def generation(self) -> int:
        """A number that is another one as soon as other keys are in force."""
        self._renew()
        return self._generation

    def check(self, authorization: bytes | None, needed: str) -> str:
        """Give the role of whoever sent this header, and count the request.

        Raises Unauthorized where it holds no key in force, Forbidden where the role is less than
        `needed`, and RateExceeded where the key has been used too often.
        """
        key = self.find(authorization)
        if ROLES.index(key.role) < ROLES.index(needed):
            raise Forbidden(needed, key.role)
        if key.quota is not None and not key.quota.take(self._clock()):
            raise RateExceeded(key.quota.per_second)
        return key.role

    def find(self, authorization: bytes | None) -> ApiKey:
        """Give the key in force that this header holds, or raise Unauthorized."""
        self._renew()
        found = None if authorization is None else _BEARER.fullmatch(authorization.strip())
        if found is None:
            raise Unauthorized
        digest = hashlib.sha256(found[1]).digest()
        key = None
        # All are compared, and each in constant time: how long it takes says nothing.
        for known, its in self._keys.items():
            if hmac.compare_digest(known, digest):
                key = its
        if key is None:
            raise Unauthorized
        return key

    def _renew(self) -> None:
        now = self._clock()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            self._keys = _read(self._path, now)
            self._generation += 1
        except (OSError, ValueError) as error:
            logger.error("the keys stay as they were: %s", _reason(error))
            return
        self._stamp = stamp
        logger.info("%d keys are in force", len(self._keys))

    def _look(self) -> _Stamp:
        # A mounted Secret is a link to a link: what changes is the file behind them.
        found = os.stat(self._path)
        return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path, now: float) -> Mapping[bytes, ApiKey]:
    with path.open(encoding="utf-8") as file:
        text = file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError(f"{path} has more than {_LARGEST:,} characters.")
    keys: dict[bytes, ApiKey] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        found = _LINE.fullmatch(line)
        if found is None or found[1] not in ROLES:
            raise ValueError(
                f"line {number} of {path} is not `role: sha256 of the key in hex`, with a role of "
                f"{', '.join(ROLES)}, and perhaps a limit as in `200/s`."
            )
        digest = bytes.fromhex(found[2])
        if digest in keys:
            raise ValueError(f"line {number} of {path} gives a key a second time.")
        keys[digest] = ApiKey(found[1], TokenBucket(int(found[3]), now) if found[3] else None)
    if not keys:
        raise ValueError(f"{path} holds no key; leave the setting empty to need none.")
    return keys


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the file is not in UTF-8."
    if isinstance(error, OSError):
        return f"{clip(error.filename)} cannot be read: {error.strerror}."
    return str(error)
