"""Starts the service: settings, logs, the application, the server."""

import logging
import signal
import sys
import threading

from service.app import create_app
from service.common.errors import StartError
from service.common.json_logs import configure_logs
from service.common.settings import read_settings
from service.server.server import Server, listen

logger = logging.getLogger("service")


def main() -> int:
    """Serve until a signal; 0 after a clean end, 1 where it cannot start."""
    # The server takes these over. Until then they end the start: the first process of a container
    # would not even notice them.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    threading.excepthook = _log_defect
    try:
        settings = read_settings()
        configure_logs(settings.log_level)
        logging.captureWarnings(True)
        listener = listen(settings)
        app = create_app(settings)
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    server = Server(app, settings)
    server.run(sockets=[listener])
    return 0 if server.started else 1


def _log_defect(met: threading.ExceptHookArgs) -> None:
    name = "unknown" if met.thread is None else met.thread.name
    logger.error("thread %s met a defect", name, exc_info=met.exc_value)


if __name__ == "__main__":
    sys.exit(main())
