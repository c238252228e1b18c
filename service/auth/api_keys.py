"""Clients' keys from a file, each with a role. Only their digests are ever in memory.

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
"""Each includes the rights of those before it."""

_LOOK_SECONDS = 1.0
_LARGEST = 64 * 1024
_LINE = re.compile(r"(\w+)\s*:\s*([0-9a-fA-F]{64})(?:\s+([1-9][0-9]{0,5})/s)?")
_BEARER = re.compile(rb"[Bb]earer +(\S{1,512})")

_Stamp = tuple[int, int, int]


class ApiKey(NamedTuple):
    """The role and the rate limit of a key."""

    role: str
    quota: TokenBucket | None


class ApiKeys:
    """The keys in force; used by the event loop's thread only."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file; raises StartError, which names the wrong line."""
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
        """A number that changes when other keys come into force."""
        self._renew()
        return self._generation

    def check(self, authorization: bytes | None, needed: str) -> str:
        """Return the role of the key in this header, and count the request.

        Raises Unauthorized where it has no valid key, Forbidden where the role is below `needed`,
        and RateExceeded where the key has been used too often.
        """
        key = self.find(authorization)
        if ROLES.index(key.role) < ROLES.index(needed):
            raise Forbidden(needed, key.role)
        if key.quota is not None and not key.quota.take(self._clock()):
            raise RateExceeded(key.quota.per_second)
        return key.role

    def find(self, authorization: bytes | None) -> ApiKey:
        """Return the valid key in this header, or raise Unauthorized."""
        self._renew()
        bearer = None if authorization is None else _BEARER.fullmatch(authorization.strip())
        if bearer is None:
            raise Unauthorized
        digest = hashlib.sha256(bearer[1]).digest()
        key = None
        # All are compared, each in constant time, so that the time reveals nothing.
        for candidate_digest, candidate in self._keys.items():
            if hmac.compare_digest(candidate_digest, digest):
                key = candidate
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
        # stat follows links: in a mounted Secret only the file behind two links changes.
        status = os.stat(self._path)
        return status.st_mtime_ns, status.st_size, status.st_ino


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
        match = _LINE.fullmatch(line)
        if match is None or match[1] not in ROLES:
            raise ValueError(
                f"line {number} of {path} is not `role: sha256 of the key in hex`, with a role of "
                f"{', '.join(ROLES)}, and perhaps a limit as in `200/s`."
            )
        digest = bytes.fromhex(match[2])
        if digest in keys:
            raise ValueError(f"line {number} of {path} has the same key a second time.")
        keys[digest] = ApiKey(match[1], TokenBucket(int(match[3]), now) if match[3] else None)
    if not keys:
        raise ValueError(f"{path} holds no key; leave the setting empty to require none.")
    return keys


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the file is not in UTF-8."
    if isinstance(error, OSError):
        return f"{clip(error.filename)} cannot be read: {error.strerror}."
    return str(error)
