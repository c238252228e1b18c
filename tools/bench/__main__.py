"""Measures the service against its limit, a tutorial's handler and scikit-learn itself."""

import sys
from collections.abc import Callable

from tests.support.tables import write
from tools.bench import (
    bulk,
    command,
    data_sets,
    many_rows,
    models,
    one_row,
    protocols,
    search,
    skew,
    start,
    traffic,
    training,
)
from tools.bench.options import Options

PARTS: dict[str, Callable[[Options], str]] = {
    "one-row": one_row.measure,
    "many-rows": many_rows.measure,
    "protocols": protocols.measure,
    "models": models.measure,
    "bulk": bulk.measure,
    "training": training.measure,
    "data-sets": data_sets.measure,
    "search": search.measure,
    "skew": skew.measure,
    "traffic": traffic.measure,
    "start": start.measure,
}

_MOST_SECONDS = 600


def main() -> int:
    """Print the tables; return 1 if something cannot be measured."""
    parser = command.parser("bench", __doc__)
    parser.add_argument("--part", choices=PARTS, help="only this one")
    asked = parser.parse_args()

    def job(options: Options) -> int:
        for part in [asked.part] if asked.part else PARTS:
            write(PARTS[part](options))
        return 0

    return command.run(asked, _MOST_SECONDS, job)


if __name__ == "__main__":
    sys.exit(main())
