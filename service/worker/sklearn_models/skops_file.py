"""What a skops file holds, built only where all of it may be.

It imports scikit-learn, so that no module of the serving process imports this one.
"""

from typing import Any

from skops.io import get_untrusted_types, loads

from service.common.errors import UntrustedArtifact
from service.models.allowlist import LARGEST_ARTIFACT, TRUSTED_TYPES, inspect_zip
from service.worker.sklearn_models.tree_checks import has_sound_trees


def load_skops(data: bytes, limit: int = LARGEST_ARTIFACT) -> Any:
    """Build what a skops file holds, if all of it may be; no code of the file's is ever run."""
    inspect_zip(data, limit)
    try:
        needed = set(get_untrusted_types(data=data))
    except Exception as error:  # skops raises whatever a malformed file makes it stumble over.
        raise UntrustedArtifact("the file is no skops file") from error
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
