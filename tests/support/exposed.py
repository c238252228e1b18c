"""What a scrape finds, parsed as Prometheus parses it."""

from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""The value of each series, by its metric's name and its labels."""


def samples_of(text: str) -> Samples:
    """Return every series of a scrape."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
