"""Lets pages of other origins call the service from a browser, where a setting names them."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

_SHOWN = (
    "Inference-Header-Content-Length",
    "Location",
    "Retry-After",
    "X-Model-Epoch",
    "X-Model-Name",
    "X-Model-Version",
    "X-Request-ID",
)


def cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Return the application for browsers of these origins, too; it goes before keys are checked.

    A browser asks without a key whether it may send one. No cookie is sent or read.
    """
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "POST", "PUT", "DELETE"),
        allow_headers=("*",),  # any may be the one by which traffic is split
        expose_headers=_SHOWN,
    )
