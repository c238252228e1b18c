"""A prediction as it is sent."""

from typing import NamedTuple

from service.serving.served_model import Headers


class Written(NamedTuple):
    """The body of a reply, and the headers that say what it is, without its length."""

    body: bytes
    headers: Headers
