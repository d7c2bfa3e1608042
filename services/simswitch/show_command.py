"""``show``: channels, calls, registrations, and what is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from services.simswitch.core.reports import USAGE, Row, like, report
from services.simswitch.switch import Switch

_CALL: Final = [
    "uuid",
    "direction",
    "created",
    "created_epoch",
    "name",
    "state",
    "cid_name",
    "cid_num",
    "ip_addr",
    "dest",
    "presence_id",
    "presence_data",
    "accountcode",
    "callstate",
    "callee_name",
    "callee_num",
    "callee_direction",
    "call_uuid",
    "hostname",
    "sent_callee_name",
    "sent_callee_num",
]
_DETAILED: Final = [
    "uuid",
    "direction",
    "created",
    "created_epoch",
    "name",
    "state",
    "cid_name",
    "cid_num",
    "ip_addr",
    "dest",
    "application",
    "application_data",
    "dialplan",
    "context",
    "read_codec",
    "read_rate",
    "read_bit_rate",
    "write_codec",
    "write_rate",
    "write_bit_rate",
    "secure",
    "hostname",
    "presence_id",
    "presence_data",
    "accountcode",
    "callstate",
    "callee_name",
    "callee_num",
    "callee_direction",
    "call_uuid",
    "sent_callee_name",
    "sent_callee_num",
]
_FIXED: Final = (
    ("codec", "G.711 alaw", "CORE_PCM_MODULE"),
    ("codec", "G.711 ulaw", "CORE_PCM_MODULE"),
    ("codec", "PROXY PASS-THROUGH", "CORE_PCM_MODULE"),
    ("codec", "PROXY VIDEO PASS-THROUGH", "CORE_PCM_MODULE"),
    ("codec", "RAW Signed Linear (16 bit)", "CORE_PCM_MODULE"),
    ("dialplan", "XML", "mod_dialplan_xml"),
    ("dialplan", "inline", "mod_dptools"),
    ("endpoint", "error", "mod_dptools"),
    ("endpoint", "loopback", "mod_loopback"),
    ("endpoint", "null", "mod_loopback"),
    ("endpoint", "sofia", "mod_sofia"),
    ("endpoint", "user", "mod_dptools"),
    ("file", "file_string", "mod_dptools"),
    ("file", "local_stream", "mod_local_stream"),
    ("file", "silence_stream", "mod_tone_stream"),
    ("file", "tone_stream", "mod_tone_stream"),
    ("file", "wav", "mod_sndfile"),
    ("generic", "mod_json_cdr", "mod_json_cdr"),
    ("timer", "soft", "CORE_SOFTTIMER_MODULE"),
)
_EMPTY: Final = frozenset(
    ("aliases", "chat", "complete", "interface_types", "limits", "management", "nat_map", "say", "tasks")
)


def show(switch: Switch, argument: str, commands: Iterable[str]) -> str:
    """Carry out the command; ``commands`` are the names of the API commands there are."""
    words = argument.split()
    what, rest = (words[0].lower() if words else ""), words[1:]
    rows: list[Row]
    if what == "channels":
        rows = list(switch.rows.values())
        if rest[:1] == ["like"] and len(rest) > 1:
            rows, rest = like(rows, rest[1]), rest[2:]
    elif what in ("calls", "bridged_calls"):
        rows = calls(switch, _CALL, bridged=what == "bridged_calls")
    elif what in ("detailed_calls", "detailed_bridged_calls"):
        rows = calls(switch, _DETAILED, bridged=what == "detailed_bridged_calls")
    elif what == "registrations":
        rows = registrations(switch)
    elif what in ("modules", "interfaces"):
        rows = _interfaces(switch, commands)
    elif what in ("api", "application", "codec", "dialplan", "endpoint", "file", "timer"):
        rows = [r for r in _interfaces(switch, commands) if r["type"] == what]
    elif what in _EMPTY:
        rows = []
    else:
        return USAGE
    if what == "modules":
        rows = [{**r, "filename": f"{r['ikey']}.so"} for r in rows]
        if rest and rest[0].lower() not in ("as", "count"):
            rows, rest = [r for r in rows if r["ikey"] == rest[0]], rest[1:]
    return report(rows, rest, counts=what in ("channels", "calls", "registrations"))


def calls(switch: Switch, names: list[str], *, bridged: bool) -> list[Row]:
    """One row a call: a leg with the one that it is joined to, or alone."""
    b_names = [n for n in names if n not in ("call_uuid", "hostname")] if names is _CALL else names
    seen: set[str] = set()
    out: list[Row] = []
    for uuid, row in switch.rows.items():
        if uuid in seen:
            continue
        leg = switch.find(uuid)
        partner = leg.partner if leg is not None else None
        # The row of a call is the leg that the bridge is named after.
        if partner is not None and row["call_uuid"] == partner.uuid and partner.uuid in switch.rows:
            uuid, row, partner = partner.uuid, switch.rows[partner.uuid], leg
        b_row = switch.rows.get(partner.uuid, {}) if partner is not None else {}
        seen |= {uuid, b_row.get("uuid", "")}
        if bridged and not b_row:
            continue
        call = {n: row.get(n, "") for n in names} | {f"b_{n}": b_row.get(n, "") for n in b_names}
        out.append(call | {"call_created_epoch": row["created_epoch"] if b_row else ""})
    return out


def registrations(switch: Switch) -> list[Row]:
    """The phones that are registered."""
    return [
        {
            "reg_user": extension,
            "realm": switch.domain,
            "token": f"reg-{extension}",
            "url": f"sofia/agents/sip:{extension}@127.0.0.1:5070",
            "expires": str(since_us // 1_000_000 + 3600),
            "network_ip": "127.0.0.1",
            "network_port": "5070",
            "network_proto": "udp",
            "hostname": switch.name,
            "metadata": "",
        }
        for extension, since_us in switch.registered.items()
    ]


def _interfaces(switch: Switch, commands: Iterable[str]) -> list[Row]:
    found = [("api", name, _module(name)) for name in sorted(commands)]
    found += [
        ("application", name, "mod_event_socket" if name == "socket" else "mod_dptools")
        for name in sorted(switch.apps)
    ]
    found += sorted(_FIXED)
    return [{"type": kind, "name": name, "ikey": module} for kind, name, module in found]


def _module(command: str) -> str:
    if command.startswith("sofia"):
        return "mod_sofia"
    if command.startswith(("hash", "conference")):
        return f"mod_{command.partition('_')[0]}"
    return "mod_dptools" if command.startswith("str") else "mod_commands"
