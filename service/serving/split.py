"""Which of two versions answers a request while traffic is split: the same in all replicas."""

from hashlib import blake2b
from os import urandom

from service.common.traffic import Traffic

_HASHES = 2**64


def goes_to_second(traffic: Traffic, sent: bytes | None) -> bool:
    """Return whether the second version answers a request.

    `sent` is the value of the header that the traffic names; None where the request has none.
    Where the traffic names a header, its value alone decides: the same value goes the same way in
    every replica, and a larger percentage only adds values to those that went to the second
    version. A request without that header, or with an empty one, is answered by the version in use.
    Where it names none, each request is drawn by itself.
    """
    if traffic.mode != "split":
        return False
    if not traffic.key:
        drawn = urandom(8)
    else:
        # Spaces around it are no part of a value (RFC 9110), and not every proxy leaves them there.
        value = (sent or b"").strip(b" \t")
        if not value:
            return False
        # By the version too: of two experiments, each takes other clients.
        salt = f"{traffic.run_id} {traffic.name} {traffic.version}\n".encode()
        drawn = blake2b(salt + value, digest_size=8).digest()
    return int.from_bytes(drawn) < traffic.percent / 100 * _HASHES
