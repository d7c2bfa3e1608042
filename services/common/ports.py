"""Ports of the loopback interface, for servers that are started beside each other on one machine."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

UNCLAIMED = range(20_000, 32_000)
"""Below what the system gives to whoever asks for any port (from 32,768 on): one of those is free now and taken a moment later by
somebody's connection, and a client that tries one until somebody listens may be given it itself, and is then connected to itself."""

_next = itertools.count(os.getpid() * 61)  # Processes beside each other begin at different places.


def free_port(kind: int = socket.SOCK_STREAM, among: range = UNCLAIMED) -> int:
    """A port of 127.0.0.1 that nobody has, and that this process is given once. Raises OSError when there is none."""
    for n in itertools.islice(_next, len(among)):
        port = among[n % len(among)]
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port in {among}")
