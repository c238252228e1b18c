"""The data folder: its lock, and the paths in it."""

import fcntl
import os
import shutil
from pathlib import Path

from service.common.errors import StartError


class DataFolder:
    """A folder that one process uses at a time."""

    def __init__(self, path: Path) -> None:
        """Create the folder if needed, and lock it; raises StartError."""
        self.cache = path / "cache"
        self.work = path / "work"
        self.uploads = self.work / "uploads"
        self.last_served = path / "last-use.json"
        try:
            for folder in (path, self.cache, self.work):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            # Writes something, so that a full or read-only disk is found now.
            os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)
        except OSError as error:
            raise StartError(
                f"The data folder {path} cannot be written: {error.strerror}. "
                "Set SERVICE_DATA_DIR to one that can."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StartError(
                f"The data folder {path} is in use by another process of this service. "
                "Stop that one, or set SERVICE_DATA_DIR to another folder."
            ) from error
        # Files of a process that was killed.
        shutil.rmtree(self.work, ignore_errors=True)
        self.uploads.mkdir(parents=True)

    def close(self) -> None:
        """Release the lock."""
        os.close(self._lock)
