"""The error for a tool that gave no result."""


class NoData(Exception):
    """A check had no data, so an empty result would mean nothing."""
