"""The addresses of the console that every general promise holds for."""

from collections.abc import Sequence

ADDRESSES: Sequence[str] = (
    *("#/predict", "#/train", "#/models", "#/models/iris/1", "#/compare?a=iris/1&b=iris/2"),
    *("#/data", "#/data/iris", "#/watch"),
)


def file_name(address: str) -> str:
    """Return an address as part of a file's name."""
    return address.removeprefix("#/").replace("/", "-").replace("?", "-").replace("&", "-")
