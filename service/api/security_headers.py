"""Headers that keep a browser from taking a reply for something else than data.

The console's pages have a policy of their own. Replies of the routes that predict have none of
these headers, so that they are the same on the fast path, which writes them byte for byte.
"""

from collections.abc import Iterable, Sequence

Header = tuple[bytes, bytes]

SECURITY_HEADERS: Sequence[Header] = (
    (b"x-content-type-options", b"nosniff"),
    # What is opened by itself, as JSON or an error, loads nothing, and is not shown within a page.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    # A page of another origin cannot load it as a script or picture; CORS is not concerned.
    (b"cross-origin-resource-policy", b"same-origin"),
)


def missing(headers: Iterable[Header]) -> list[Header]:
    """Return the security headers that a reply with these headers does not have."""
    names = {name for name, _ in headers}
    return [header for header in SECURITY_HEADERS if header[0] not in names]
