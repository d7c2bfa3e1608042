"""A process's place among the others of its machine.

Niceness alone is not heard where Linux groups processes by session (``sched_autogroup_enabled``, the default of most distributions): it
counts within the group then, and a service is alone in its own. Measured on a full machine, by how late a sleeper of 3 ms wakes up: 3.0 ms in one
of ten with and without a niceness of -10, 0.13 when the group has it. In a container neither counts, but the container's share
(``cpu_shares`` in ``deploy/compose.yaml``).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")
_TRIES = 20  # The kernel takes ten changes a second from all unprivileged processes together.
_PAUSE_S = 0.11


def take_place(nice: int, autogroup: Path = AUTOGROUP) -> None:
    """Go behind the others by ``nice``, or before them when it is below 0. Raises OSError, mostly PermissionError."""
    if not nice:
        return
    now = os.nice(nice)
    # A group is a session: of one that others belong to, it is not ours to say.
    if os.getsid(0) == os.getpid():
        move_group(now, autogroup)


def move_group(nice: int, autogroup: Path) -> None:
    """Give a session's group its niceness, where the kernel has such groups. Raises OSError, mostly PermissionError."""
    for _ in range(_TRIES if autogroup.exists() else 0):
        try:
            autogroup.write_text(str(nice))
        except BlockingIOError:
            time.sleep(_PAUSE_S)
        else:
            return
