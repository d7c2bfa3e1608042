"""The row of a leg in ``show channels``: the columns of FreeSWITCH's table, no own variables."""

from __future__ import annotations

from services.simswitch.core.leg import Leg, stamp


def row(leg: Leg, hostname: str) -> dict[str, str]:
    """The whole row, as it is when the leg is created."""
    p = leg.profile
    return {
        "uuid": leg.uuid,
        "direction": leg.direction,
        "created": stamp(p.times.created),
        "created_epoch": str(p.times.created // 1_000_000),
        "name": leg.name,
        "state": leg.running,
        "cid_name": p.cid_name,
        "cid_num": p.cid_number,
        "ip_addr": p.network_addr,
        "dest": p.destination,
        "application": "",
        "application_data": "",
        "dialplan": p.dialplan,
        "context": p.context,
        "read_codec": "",
        "read_rate": "",
        "read_bit_rate": "",
        "write_codec": "",
        "write_rate": "",
        "write_bit_rate": "",
        "secure": "",
        "hostname": hostname,
        "presence_id": leg.var("presence_id"),
        "presence_data": leg.var("presence_data"),
        "accountcode": leg.var("accountcode"),
        "callstate": leg.call_state,
        "callee_name": p.callee_name,
        "callee_num": p.callee_number,
        "callee_direction": "",
        "call_uuid": leg.uuid,
        "sent_callee_name": "",
        "sent_callee_num": "",
        "initial_cid_name": p.cid_name,
        "initial_cid_num": p.cid_number,
        "initial_ip_addr": p.network_addr,
        "initial_dest": p.destination,
        "initial_dialplan": p.dialplan,
        "initial_context": p.context,
    }


def executed(leg: Leg, app: str, data: str) -> dict[str, str]:
    """What CHANNEL_EXECUTE changes."""
    changed = {"application": app, "application_data": data}
    return changed | {name: leg.var(name) for name in ("presence_id", "presence_data", "accountcode")}
