"""HEARTBEAT and what the real switch says in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.simswitch.core.leg import VERSION

if TYPE_CHECKING:
    from services.simswitch.switch import Switch


def heartbeat(switch: Switch) -> None:
    """Fire HEARTBEAT, and RE_SCHEDULE of the task that fires it: the only word about its interval."""
    up_us = switch.clock.now_us() - switch.started_us
    switch.fire(
        "HEARTBEAT",
        tail={
            "Event-Info": "System Ready",
            "Up-Time": uptime(up_us),
            "FreeSWITCH-Version": VERSION,
            "Uptime-msec": str(up_us // 1000),
            "Session-Count": str(len(switch.channels)),
            "Max-Sessions": str(switch.limits.max_sessions),
            "Session-Per-Sec": str(switch.limits.sps),
            "Session-Per-Sec-Last": str(switch.limits.sps_last),
            "Session-Per-Sec-Max": str(switch.limits.sps_peak),
            "Session-Per-Sec-FiveMin": str(switch.limits.sps_peak),
            "Session-Since-Startup": str(switch.sessions_since_start),
            "Session-Peak-Max": str(switch.peak),
            "Session-Peak-FiveMin": str(switch.peak),
            "Idle-CPU": "50.000000",
        },
    )
    switch.fire(
        "RE_SCHEDULE",
        tail={
            "Task-ID": "1",
            "Task-Desc": "heartbeat",
            "Task-Group": "core",
            "Task-Runtime": str(switch.clock.now_us() // 1_000_000 + round(switch.heartbeat_s)),
        },
    )


def uptime(us: int) -> str:
    """``0 years, 0 days, 0 hours, 7 minutes, ...`` as FreeSWITCH writes it."""
    ms, micro = divmod(us, 1000)
    s, ms = divmod(ms, 1000)
    minutes, s = divmod(s, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    years, days = divmod(days, 365)
    parts = (
        (years, "year"),
        (days, "day"),
        (hours, "hour"),
        (minutes, "minute"),
        (s, "second"),
        (ms, "millisecond"),
        (micro, "microsecond"),
    )
    return ", ".join(f"{n} {unit}{'' if n == 1 else 's'}" for n, unit in parts)
