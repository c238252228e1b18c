"""Start the program in the pod of a training."""

import os
import signal
import sys

_ENDED = 143


def main() -> int:
    """Run it, and return the status of this process."""
    # The first process of a container has no default action for signals, and imports take seconds.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(_ENDED))
    from service.pod import program

    return program.main()


if __name__ == "__main__":
    sys.exit(main())
