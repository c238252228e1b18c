"""The program in a pod ends at once when it is told to, from its first moment on."""

import subprocess
import sys

SHOW = """
import sys
import service.pod.__main__
print(*(name for name in sys.modules if name.startswith("service.")))
"""


def test_nothing_is_imported_before_the_program_can_be_ended() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", SHOW], capture_output=True, text=True, check=True
    ).stdout

    assert set(shown.split()) == {"service.pod", "service.pod.__main__"}
