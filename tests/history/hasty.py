"""Starts the service as it is, except that the rules of traffic are looked at once a second."""

import sys

from service.__main__ import main
from service.rollout import referee

if __name__ == "__main__":
    referee.LOOK_SECONDS = 1.0
    sys.exit(main())
