"""MLflow's client without the data libraries that it offers to work with.

MLflow is published as `mlflow-skinny` as well: the same modules, of which those that need pandas
are left out where it is missing. The serving process hands it files and numbers, never a frame, and
pandas with pyarrow would be a third of its memory. They are installed, since children need them.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LEFT_OUT = ("pandas", "pyarrow", "scipy", "sklearn", "matplotlib", "pygments")
"""What MLflow, or a library of its own, imports if it is there and does without if it is not."""


@contextmanager
def slim_imports() -> Iterator[None]:
    """Let imports find none of the data libraries while the block runs, but those that are there.

    Whatever is imported later finds them again.
    """
    hidden = [name for name in _LEFT_OUT if name not in sys.modules]
    # None is how Python itself marks a module whose import is to fail with ModuleNotFoundError.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
