"""MLflow's filters for the name of a model."""

import re


def is_pattern(name: str) -> bool:
    """Return whether a name has both quotes, so that no filter of MLflow can hold it."""
    return "'" in name and '"' in name


def named(name: str) -> str:
    """Return MLflow's filter for a model, or its versions; there is no way to escape a quote.

    Where `is_pattern`, it may let other models pass.
    """
    if is_pattern(name):
        return "name LIKE '" + re.sub(r"['\"\\]", "_", name) + "'"
    quote = '"' if "'" in name else "'"
    return f"name = {quote}{name}{quote}"
