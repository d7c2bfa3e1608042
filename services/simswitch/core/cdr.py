"""A leg's record as mod_json_cdr writes it (``switch_ivr_generate_json_cdr`` of FreeSWITCH 1.10.12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final

from services.simswitch.core.leg import STATES, Leg, Profile
from services.simswitch.core.wire import Value

_FLAGS: Final = "0=1;1=1;3=1;38=1;39=1;41=1;44=1;54=1;76=1;96=1;113=1;114=1;123=1;160=1;165=1;166=1"
_CAPS: Final = "1=1;2=1;3=1;4=1;5=1;6=1;8=1"
_TIMES: Final = {
    "created_time": "created",
    "profile_created_time": "profile_created",
    "progress_time": "progress",
    "progress_media_time": "progress_media",
    "answered_time": "answered",
    "bridged_time": "bridged",
    "last_hold_time": "last_hold",
    "hold_accum_time": "hold_accum",
    "hangup_time": "hungup",
    "resurrect_time": "resurrected",
    "transfer_time": "transferred",
}
_TIME_VALUES: Final = attrgetter(*_TIMES.values())
_COMMON: Final = ("raw_bytes", "media_bytes", "packet_count", "media_packet_count", "skip_packet_count")
_IN: Final = (
    "jitter_packet_count",
    "dtmf_packet_count",
    "cng_packet_count",
    "flush_packet_count",
    "largest_jb_size",
)
_IN_RATIOS: Final = (
    "jitter_min_variance",
    "jitter_max_variance",
    "jitter_loss_rate",
    "jitter_burst_rate",
    "mean_interval",
    "flaw_total",
    "quality_percentage",
    "mos",
)
_STATS: Final[tuple[tuple[str, str, str, Callable[[str], float]], ...]] = (
    *(("inbound", name, f"rtp_audio_in_{name}", int) for name in _COMMON + _IN),
    *(("inbound", name, f"rtp_audio_in_{name}", float) for name in _IN_RATIOS),
    *(("outbound", name, f"rtp_audio_out_{name}", int) for name in _COMMON),
    *(("outbound", name, f"rtp_audio_out_{name}", int) for name in ("dtmf_packet_count", "cng_packet_count")),
    *(("outbound", name, f"rtp_audio_{name}", int) for name in ("rtcp_packet_count", "rtcp_octet_count")),
)
"""Where a number of ``callStats`` stands, its name, the variable that has it, and what it is."""


def record(leg: Leg, *, core_uuid: str, switchname: str) -> dict[str, Any]:
    """The JSON document of an ended leg; values are not url-encoded (``encode-values`` is false in our configuration)."""
    variables: Mapping[str, Value] = leg.variables
    if not all(variables.values()) or list in map(type, variables.values()):
        variables = {
            name: value if isinstance(value, str) else "ARRAY::" + "|:".join(value)
            for name, value in leg.variables.items()
            if value
        }
    out: dict[str, Any] = {
        "core-uuid": core_uuid,
        "switchname": switchname,
        "channel_data": {
            "state": leg.state,
            "direction": leg.direction,
            "state_number": str(STATES[leg.state]),
            "flags": _FLAGS,
            "caps": _CAPS,
        },
        "callStats": _stats(leg) if leg.answered else {},
        "variables": variables,
    }
    if leg.app_log:
        out["app_log"] = {
            "applications": [
                {"app_name": app, "app_data": data, "app_stamp": str(us)} for app, data, us in leg.app_log
            ]
        }
    out["callflow"] = [_flow(p) for p in (leg.profile, *reversed(leg.old_profiles))]
    return out


def _flow(profile: Profile) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if profile.dialplan:
        out["dialplan"] = profile.dialplan
    out["profile_index"] = str(profile.index)
    name, actions = profile.extension
    if actions:
        out["extension"] = {
            "name": name,
            "number": profile.destination,
            "applications": [{"app_name": app, "app_data": data} for app, data in actions],
        }
    out["caller_profile"] = {
        "username": profile.username,
        "dialplan": profile.dialplan,
        "caller_id_name": profile.cid_name,
        "ani": profile.ani,
        "aniii": "",
        "caller_id_number": profile.cid_number,
        "network_addr": profile.network_addr,
        "rdnis": "",
        "destination_number": profile.destination,
        "uuid": profile.uuid,
        "source": profile.source,
        "context": profile.context,
        "chan_name": profile.chan_name,
    }
    out["times"] = dict(zip(_TIMES, map(str, _TIME_VALUES(profile.times)), strict=True))
    return out


def _stats(leg: Leg) -> dict[str, Any]:
    variables = leg.variables
    stats: dict[str, dict[str, Any]] = {"inbound": {}, "outbound": {}}
    for way, name, variable, kind in _STATS:
        value = variables.get(variable)
        stats[way][name] = kind(value) if isinstance(value, str) else 0
    return {"audio": stats}
