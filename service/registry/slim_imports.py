"""Imports MLflow's client without the data libraries that it supports.

MLflow is also published without them, as `mlflow-skinny`, so its modules work where they are
missing. The serving process hands it files and numbers, never a frame, and pandas with pyarrow
would be a third of its memory. They are installed because worker processes need them.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LEFT_OUT = ("pandas", "pyarrow", "scipy", "sklearn", "matplotlib", "pygments")
"""Modules that MLflow, or a library of its own, imports only if they are installed."""


@contextmanager
def slim_imports() -> Iterator[None]:
    """Hide the data libraries that are not imported yet from imports in the block.

    Later imports find them again.
    """
    hidden = [name for name in _LEFT_OUT if name not in sys.modules]
    # For Python, None in sys.modules makes an import raise ModuleNotFoundError.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
