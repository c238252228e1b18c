"""The error for a tool that said nothing."""


class NoData(Exception):
    """What was asked was not answered, so that finding nothing would mean nothing."""
