"""Loads a skops file if everything in it is allowed.

It imports scikit-learn, so that no module of the serving process imports this one.
"""

from typing import Any

from skops.io import get_untrusted_types, loads

from service.common.errors import UntrustedArtifact
from service.models.allowlist import LARGEST_ARTIFACT, TRUSTED_TYPES, inspect_zip
from service.worker.sklearn_models.tree_checks import has_sound_trees


def load_skops(data: bytes, limit: int = LARGEST_ARTIFACT) -> Any:
    """Return what a skops file holds, if all of it is allowed; code in the file is never run."""
    inspect_zip(data, limit)
    try:
        needed = set(get_untrusted_types(data=data))
    except Exception as error:  # A malformed file makes skops raise anything.
        raise UntrustedArtifact("the file is not a skops file") from error
    if needed - TRUSTED_TYPES:
        strange = ", ".join(sorted(needed - TRUSTED_TYPES))
        raise UntrustedArtifact(f"the file holds types that are not allowed: {strange[:200]}")
    try:
        loaded = loads(data, trusted=sorted(needed))
    except Exception as error:
        raise UntrustedArtifact(f"the file cannot be read: {type(error).__name__}") from error
    if not has_sound_trees(loaded):
        raise UntrustedArtifact("the file holds a tree that leads outside itself")
    return loaded
