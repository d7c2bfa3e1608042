"""Records of ended legs as files of a folder."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

log = structlog.get_logger()


def write(spool: Path, uuid: str, data: bytes) -> None:
    """Write ``<uuid>.cdr.json``: complete when it appears, for it is written beside and renamed. A failure is logged."""
    target = f"{spool}/{uuid}.cdr.json"
    part = f"{spool}/.{uuid}.part"
    try:
        # Two files a call: pathlib and buffered files cost three times these four system calls.
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            if (written := os.write(fd, data)) != len(data):
                raise OSError(f"{written} of {len(data)} bytes written")
        finally:
            os.close(fd)
        os.rename(part, target)
    except OSError as e:
        log.warning("cdr_not_written", path=target, error=str(e))
