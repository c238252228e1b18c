"""What a tool has to say, and the error for one that said nothing."""


class NoData(Exception):
    """What was asked was not answered, so that finding nothing would mean nothing."""
