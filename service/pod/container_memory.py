"""What the kernel tells about the memory of this container, by cgroups of version 1 and 2."""

import re
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_FILES = ("memory.events", "memory/memory.oom_control")
_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def oom_kills(cgroup: Path = _CGROUP) -> int:
    """Return how many processes the kernel has killed for the container's memory; 0: not known."""
    for name in _FILES:
        try:
            found = _KILLS.search((cgroup / name).read_text())
        except OSError:
            continue
        if found:
            return int(found[1])
    return 0
