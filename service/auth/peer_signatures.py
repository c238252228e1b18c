"""Signatures of the calls between replicas: HMAC-SHA256 over the call and its time.

X-Peer-Signature: t=<seconds since 1970>,v1=<hex of HMAC(key, "t.path.body")>
"""

import hashlib
import hmac
import re
import time

HEADER = "x-peer-signature"

_OLDEST = 60.0
"""Largest age of a call in seconds: allows for clocks that differ, and bounds replays."""

_FORM = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")


def sign(key: str, path: str, body: bytes, now: float | None = None) -> str:
    """Return the header's value for a call."""
    seconds = str(int(time.time() if now is None else now))
    return f"t={seconds},v1={_digest(key, seconds, path, body)}"


def is_signed(key: str, path: str, body: bytes, signature: str) -> bool:
    """Return whether a call was signed with the key, within the last minute."""
    match = _FORM.fullmatch(signature)
    if match is None or abs(time.time() - int(match[1])) > _OLDEST:
        return False
    return hmac.compare_digest(_digest(key, match[1], path, body), match[2])


def _digest(key: str, seconds: str, path: str, body: bytes) -> str:
    return hmac.new(key.encode(), f"{seconds}.{path}.".encode() + body, hashlib.sha256).hexdigest()
