"""Times as other systems write them, to microseconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from services.reporting.core.imports.records import BadLine

_STAMP: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?\s*(Z|[+-]\d\d(?::?\d\d)?)?"
)
_EPOCH: Final = re.compile(r"\d{1,13}(?:\.\d{1,6})?")
_ZERO: Final = datetime(1970, 1, 1, tzinfo=UTC)
MOST_S: Final = 4_102_444_800
"""2100: no history is from then."""
_US: Final = timedelta(microseconds=1)


def epoch_us(text: str) -> int:
    """Seconds since the epoch, with or without a fraction. Raises BadLine."""
    if not _EPOCH.fullmatch(text):
        raise BadLine(f"expected seconds since 1970, found {text[:40]!r}")
    whole, _, fraction = text.partition(".")
    seconds = int(whole)
    if not 0 < seconds < MOST_S:
        raise BadLine(f"expected a time between 1970 and 2100, found {text[:40]!r}")
    return seconds * 1_000_000 + int((fraction + "000000")[:6])


def readings(text: str, zone: tzinfo) -> tuple[int, ...]:
    """The moments that a stamp may mean: one, or two in the hour that came twice when clocks were set back.

    A stamp with an offset of its own means one. Raises BadLine for what is no stamp, and for an hour that was left out when clocks were
    set forward: then the time zone is wrong.
    """
    found = _STAMP.fullmatch(text.strip())
    if found is None:
        raise BadLine(f"expected a time such as 2026-11-20 09:30:00, found {text[:40]!r}")
    *fields, fraction, offset = found.groups()
    try:
        local = datetime(*(int(f) for f in fields), microsecond=int(((fraction or "") + "000000")[:6]))  # type: ignore[arg-type, misc]  # noqa: DTZ001
        if offset:
            return (_since(datetime.fromisoformat(local.isoformat() + offset)),)
        both = [local.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
        if both[0].astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local:
            raise BadLine(f"{text} did not exist in {zone}: clocks were set forward; is the time zone right?")
        return tuple(sorted({_since(one) for one in both}))
    except (OverflowError, ValueError) as e:
        raise BadLine(str(e) if isinstance(e, BadLine) else f"{text[:40]!r} is no time: {e}") from None


def stamp_us(text: str, zone: tzinfo, not_before_us: int = 0) -> int:
    """The moment of a stamp; of two the first that is not before ``not_before_us``."""
    moments = readings(text, zone)
    return next((at for at in moments if at >= not_before_us), moments[-1])


def _since(moment: datetime) -> int:
    return (moment - _ZERO) // _US
