"""Signatures of the calls between replicas: HMAC-SHA256 over the call and its time.

X-Peer-Signature: t=<seconds since 1970>,v1=<hex of HMAC(key, "t.path.body")>
"""

import hashlib
import hmac
import re
import time

HEADER = "x-peer-signature"

_OLDEST = 60.0
"""Seconds that the clocks of two replicas may be apart, and that a call may be repeated."""

_FORM = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")


def sign(key: str, path: str, body: bytes, now: float | None = None) -> str:
    """Give the header's value for a call."""
    at = str(int(time.time() if now is None else now))
    return f"t={at},v1={_digest(key, at, path, body)}"


def is_signed(key: str, path: str, body: bytes, signature: str) -> bool:
    """Tell whether a call was signed with the key, within the last minute."""
    found = _FORM.fullmatch(signature)
    if found is None or abs(time.time() - int(found[1])) > _OLDEST:
        return False
    return hmac.compare_digest(_digest(key, found[1], path, body), found[2])


def _digest(key: str, at: str, path: str, body: bytes) -> str:
    return hmac.new(key.encode(), f"{at}.{path}.".encode() + body, hashlib.sha256).hexdigest()
