"""Refuses changes that a web page could make on behalf of its reader, where no key is asked for.

Nothing here concerns `POST /predict`, which changes nothing and is answered before this.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.authentication import header, refuse
from service.common.errors import ForeignOrigin
from service.common.metrics import Metrics

_CHANGING = ("POST", "PUT", "PATCH", "DELETE")


class SameOriginMiddleware:
    """Lets a change through only if its `Origin`, if any, is the service itself.

    A page of another site may send forms and plain POSTs to whatever its reader can reach, and its
    browser names that site in `Origin`. A page whose own name was pointed at this machine (DNS
    rebinding) is recognised by `Host`, but only where the service listens on the loopback addresses
    alone: in a cluster it is called by the names of Services, ingresses and forwards.
    """

    def __init__(
        self, app: ASGIApp, address: str, metrics: Metrics, allowed: Sequence[str] = ()
    ) -> None:
        """`address`: the one that the service listens on; `allowed`: origins that may change it."""
        self._allowed = allowed
        self._app = app
        self._local_only = _is_loopback(address)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or hand the request on."""
        if scope["type"] == "http" and scope["method"] in _CHANGING:
            origin = (header(scope, b"origin") or b"").decode("latin-1")
            host = (header(scope, b"host") or b"").decode("latin-1")
            if origin in self._allowed:
                await self._app(scope, receive, send)
                return
            if origin and _authority(origin) != host.lower():
                await refuse(ForeignOrigin("Origin", origin), scope, send, self._metrics)
                return
            if self._local_only and host and not _is_loopback(_hostname(host)):
                await refuse(ForeignOrigin("Host", host), scope, send, self._metrics)
                return
        await self._app(scope, receive, send)


def _authority(origin: str) -> str | None:
    """Return host and port of an origin; None for `null`, which a browser sends for no site."""
    try:
        return urlsplit(origin.lower()).netloc or None
    except ValueError:
        return None


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    try:
        return name.lower() == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
