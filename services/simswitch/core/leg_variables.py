"""The channel variables that FreeSWITCH itself puts on a leg: from the INVITE, the 180, the 200, the media and the end.

Names and order are those of recorded SIP legs (1.10.12).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from services.simswitch.core.causes import SIP_CAUSES, SIP_PHRASES, q850
from services.simswitch.core.codecs import Codec, offered
from services.simswitch.core.leg import VERSION, Leg, stamp
from services.simswitch.core.wire import Value

_STATUS: Final = {cause: status for status, cause in reversed(SIP_CAUSES.items())} | {
    "NORMAL_TEMPORARY_FAILURE": 503,
    "CALL_REJECTED": 603,
}
"""What a phone is taken to have answered when it refused a call and only the cause is known."""

_STAMPS: Final = tuple(
    (f"{name}_stamp", f"{name}_epoch", f"{name}_uepoch")
    for name in ("start", "profile_start", "answer", "bridge", "hold", "progress", "progress_media", "end")
)
_SPANS: Final = tuple(
    (
        (
            whole,
            *(name + unit for name in ("bill", "progress", "answer", "wait", "progress_media", "flow_bill")),
        ),
        divisor,
    )
    for whole, unit, divisor in (
        ("duration", "sec", 1_000_000),
        ("mduration", "msec", 1000),
        ("uduration", "usec", 1),
    )
)
_RTP: Final[dict[str, Value]] = {
    f"rtp_audio_{name}": value
    for name, value in {
        "in_raw_bytes": "0",
        "in_media_bytes": "0",
        "in_packet_count": "0",
        "in_media_packet_count": "0",
        "in_skip_packet_count": "0",
        "in_jitter_packet_count": "0",
        "in_dtmf_packet_count": "0",
        "in_cng_packet_count": "0",
        "in_flush_packet_count": "0",
        "in_largest_jb_size": "0",
        "in_jitter_min_variance": "0.00",
        "in_jitter_max_variance": "0.00",
        "in_jitter_loss_rate": "0.00",
        "in_jitter_burst_rate": "0.00",
        "in_mean_interval": "20.00",
        "in_flaw_total": "0",
        "in_quality_percentage": "100.00",
        "in_mos": "4.50",
        "out_raw_bytes": "0",
        "out_media_bytes": "0",
        "out_packet_count": "0",
        "out_media_packet_count": "0",
        "out_skip_packet_count": "0",
        "out_dtmf_packet_count": "0",
        "out_cng_packet_count": "0",
        "rtcp_packet_count": "0",
        "rtcp_octet_count": "0",
    }.items()
}
"""Counters of a leg without a packet, in their order."""

USER_AGENT: Final = f"FreeSWITCH-mod_sofia/{VERSION}"
_ALLOW: Final = (
    "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, REGISTER, REFER, NOTIFY, PUBLISH, SUBSCRIBE"
)
_PHONE_ALLOW: Final = _ALLOW.removesuffix(", PUBLISH, SUBSCRIBE")
_CODECS: Final = "OPUS,G722,PCMU,PCMA,H264,VP8"


def inbound_variables(
    leg: Leg, *, profile_name: str, host: str, codecs: Iterable[Codec], user_name: str = "", domain: str = ""
) -> dict[str, Value]:
    """What a SIP INVITE leaves on a leg. ``user_name`` is set for a phone that authenticated itself."""
    p = leg.profile
    number, destination = p.cid_number, p.destination
    domain = domain or host
    tag = leg.uuid[:8]
    shown = f'"{p.cid_name}" <sip:{number}@{host}>'
    via = f"SIP/2.0/UDP {host}:5060;rport=5060;branch=z9hG4bK{tag}"
    out: dict[str, Value] = {
        "direction": "inbound",
        "uuid": leg.uuid,
        "call_uuid": leg.uuid,
        "session_id": str(leg.session_id),
        "sip_from_user": number,
        "sip_from_uri": f"{number}@{host}",
        "sip_from_host": host,
        "video_media_flow": "disabled",
        "audio_media_flow": "disabled",
        "text_media_flow": "disabled",
        "channel_name": leg.name,
        "sip_call_id": f"call-{leg.uuid}",
        "sip_local_network_addr": host,
        "sip_network_ip": host,
        "sip_network_port": "5060",
        "sip_invite_stamp": str(p.times.created),
        "sip_received_ip": host,
        "sip_received_port": "5060",
        "sip_via_protocol": "udp",
    }
    if user_name:
        out |= {"sip_authorized": "true", "sip_auth_username": user_name, "sip_auth_realm": domain}
        out |= {"user_name": user_name, "domain_name": domain, "user_context": p.context}
    out |= {
        "sip_from_user_stripped": number,
        "sip_from_tag": tag,
        "sofia_profile_name": profile_name,
        "sofia_profile_url": f"sip:mod_sofia@{host}:5080",
        "recovery_profile_name": profile_name,
        "sip_Remote-Party-ID": f"{shown};party=calling;screen=yes;privacy=off",
        "sip_cid_type": "rpid",
        "sip_full_via": via,
        "sip_from_display": p.cid_name,
        "sip_full_from": f"{shown};tag={tag}",
        "sip_full_to": f"<sip:{destination}@{host}:5080>",
        "sip_allow": _ALLOW,
        "sip_req_user": destination,
        "sip_req_port": "5080",
        "sip_req_uri": f"{destination}@{host}:5080",
        "sip_req_host": host,
        "sip_to_user": destination,
        "sip_to_port": "5080",
        "sip_to_uri": f"{destination}@{host}:5080",
        "sip_to_host": host,
        "sip_contact_user": "mod_sofia",
        "sip_contact_port": "5060",
        "sip_contact_uri": f"mod_sofia@{host}:5060",
        "sip_contact_host": host,
        "rtp_use_codec_string": _CODECS,
        "sip_user_agent": USER_AGENT,
        "sip_via_host": host,
        "sip_via_port": "5060",
        "sip_via_rport": "5060",
        "max_forwards": "70",
        "switch_r_sdp": _sdp(host, leg.session_id),
        "ep_codec_string": offered(codecs),
        "endpoint_disposition": "DELAYED NEGOTIATION",
    }
    return {name: value for name, value in out.items() if value}


def outbound_variables(leg: Leg, *, host: str, url: str, given: dict[str, Value]) -> dict[str, Value]:
    """What originate leaves on a new leg; ``given`` are the variables of its braces, in their order."""
    early = "false" if str(given.get("ignore_early_media", "")).lower() == "true" else "true"
    return {
        "direction": "outbound",
        "is_outbound": "true",
        "uuid": leg.uuid,
        "call_uuid": leg.uuid,
        "session_id": str(leg.session_id),
        "sip_local_network_addr": host,
        "sip_profile_name": "internal",
        "video_media_flow": "disabled",
        "text_media_flow": "disabled",
        "channel_name": leg.name,
        "sip_destination_url": f"sip:{url}",
        **given,
        "originate_early_media": early,
        "originate_endpoint": "sofia",
        "rtp_use_codec_string": given.get("absolute_codec_string", _CODECS),
        "local_media_ip": host,
        "local_media_port": str(16384 + leg.session_id * 2 % 16000),
        "advertised_media_ip": host,
        "audio_media_flow": "sendrecv",
        "rtp_local_sdp_str": _sdp(host, leg.session_id),
        "sip_outgoing_contact_uri": f"<sip:mod_sofia@{host}:5060>",
        "sip_req_uri": url,
        "sip_to_host": url.partition("@")[2],
        "sip_from_host": host,
        "sofia_profile_name": "internal",
        "recovery_profile_name": "internal",
        "sofia_profile_url": f"sip:mod_sofia@{host}:5060",
    }


def progress_variables(leg: Leg, host: str) -> dict[str, Value]:
    """What the phone's 180 adds to an originated leg."""
    user, tag = leg.profile.destination, leg.uuid[:8]
    shown = {"sip_from_display": leg.profile.cid_name} if leg.profile.cid_name else {}
    via = f"SIP/2.0/UDP {host}:5060;rport=5060;branch=z9hG4bK{tag}"
    return {
        "sip_reply_host": host,
        "sip_reply_port": "5060",
        "sip_network_ip": host,
        "sip_network_port": "5060",
        "sip_user_agent": USER_AGENT,
        "sip_allow": _PHONE_ALLOW,
        "sip_recover_contact": f"<sip:{user}@{host}:5060;transport=udp>",
        "sip_full_via": via,
        "sip_recover_via": via,
        **shown,
        "sip_full_from": f"<sip:{leg.profile.cid_number}@{host}>;tag={tag}",
        "sip_full_to": f"<sip:{user}@{host}:5060>;tag={tag}",
        "sip_from_user": leg.profile.cid_number,
        "sip_from_uri": f"{leg.profile.cid_number}@{host}",
        "sip_to_user": user,
        "sip_to_port": "5060",
        "sip_to_uri": f"{user}@{host}:5060",
        "sip_to_host": host,
        "sip_contact_params": "transport=udp",
        "sip_contact_user": user,
        "sip_contact_port": "5060",
        "sip_contact_uri": f"{user}@{host}:5060",
        "sip_contact_host": host,
        "sip_to_tag": tag,
        "sip_from_tag": tag,
        "sip_cseq": "123094649",
        "sip_call_id": f"call-{leg.uuid}",
    }


def media_variables(leg: Leg, host: str, codec: Codec) -> dict[str, Value]:
    """What the agreed media adds to a leg when it is answered."""
    out: dict[str, Value] = {}
    if leg.direction == "outbound":
        out["switch_r_sdp"] = _sdp(host, leg.session_id)
        out["ep_codec_string"] = codec.source
    # What we send DTMF with is the other side's choice; what we receive it with is our own offer, where we made it.
    received = codec.dtmf_payload if leg.direction == "inbound" else 101
    return out | {
        "remote_video_media_flow": "inactive",
        "remote_text_media_flow": "inactive",
        "remote_audio_media_flow": "sendrecv",
        "audio_media_flow": "sendrecv",
        **codec.variables(leg.direction),
        "dtmf_type": "rfc2833",
        "local_media_ip": host,
        "local_media_port": str(16384 + leg.session_id * 2 % 16000),
        "advertised_media_ip": host,
        "rtp_use_timer_name": "soft",
        "rtp_use_pt": str(codec.payload),
        "rtp_use_ssrc": str(2334602650 + leg.session_id),
        "rtp_2833_send_payload": str(codec.dtmf_payload),
        "rtp_2833_recv_payload": str(received),
        "remote_media_ip": host,
        "remote_media_port": "41192",
    }


def answered_variables(leg: Leg, host: str) -> dict[str, Value]:
    """What our 200 OK adds to an inbound leg."""
    return {"rtp_local_sdp_str": _sdp(host, leg.session_id)}


def acknowledged_variables(leg: Leg, host: str) -> dict[str, Value]:
    """What the ACK to our 200 OK adds."""
    tag = leg.uuid[:8]
    full_to = f"<sip:{leg.profile.destination}@{host}:5080>;tag={tag}"
    return {
        "sip_to_tag": tag,
        "sip_cseq": "123094649",
        "sip_full_to": full_to,
    }


def refusal_variables(leg: Leg, host: str, status: int) -> dict[str, Value]:
    """What a phone's refusal leaves on the leg, before its hang-up is told."""
    return {
        "sip_reply_host": host,
        "sip_reply_port": "5060",
        "sip_network_ip": host,
        "sip_network_port": "5060",
        "sip_call_id": f"call-{leg.uuid}",
        "sip_invite_failure_status": str(status),
        "sip_invite_failure_phrase": SIP_PHRASES.get(status, ""),
        "sip_term_status": str(status),
        "sip_term_cause": str(q850(SIP_CAUSES.get(status, "NORMAL_UNSPECIFIED"))),
        "proto_specific_hangup_cause": f"sip:{status}",
        "sip_hangup_disposition": "recv_refuse",
    }


def unreachable_variables(leg: Leg) -> dict[str, Value]:
    """What is left on a leg whose INVITE went nowhere: its own stack answered it with 503."""
    return {
        "sip_reply_port": "0",
        "sip_network_port": "0",
        "sip_call_id": f"call-{leg.uuid}",
        "sip_term_status": "503",
        "sip_term_cause": "41",
    }


def _digits_dialed(leg: Leg) -> str:
    """All keys of the leg; what ``digits_dialed_filter`` matches, or a group of it, is X everywhere (switch_channel.c)."""
    keys = leg.digits_dialed
    found = re.search(pattern, keys) if (pattern := leg.var("digits_dialed_filter")) else None
    for part in (found[0], *found.groups("")) if found is not None else ():
        keys = keys.replace(part, "X" * len(part)) if part else keys
    return keys or "none"


def hangup_variables(leg: Leg) -> dict[str, Value]:
    """What the end of a leg adds before CHANNEL_HANGUP_COMPLETE: cause, stamps, durations, media counters."""
    first = leg.old_profiles[0].times if leg.old_profiles else leg.profile.times
    t = leg.profile.times
    start, end = first.created, t.hungup
    out: dict[str, Value] = {
        "hangup_cause": leg.hangup_cause,
        "hangup_cause_q850": str(q850(leg.hangup_cause)),
        "digits_dialed": _digits_dialed(leg),
    }
    stamps = (start, t.profile_created, t.answered, t.bridged, t.last_hold, t.progress, t.progress_media, end)
    for (name, _, _), us in zip(_STAMPS, stamps, strict=True):
        if us:
            out[name] = stamp(us)
    if leg.holds:
        out["hold_events"] = "{" + ",".join(f"{{{since},{until}}}" for since, until in leg.holds) + "}"
    for (_, epoch, uepoch), us in zip(_STAMPS[:4], stamps[:4], strict=True):
        out[epoch], out[uepoch] = str(us // 1_000_000), str(us)
    out |= {"last_hold_epoch": str(t.last_hold // 1_000_000), "last_hold_uepoch": str(t.last_hold)}
    out |= {"hold_accum_seconds": str(t.hold_accum // 1_000_000), "hold_accum_usec": str(t.hold_accum)}
    out |= {"hold_accum_ms": str(t.hold_accum // 1000), "resurrect_epoch": "0", "resurrect_uepoch": "0"}
    for (_, epoch, uepoch), us in zip(_STAMPS[5:], stamps[5:], strict=True):
        out[epoch], out[uepoch] = str(us // 1_000_000), str(us)
    if leg.app_log:
        app, data, _ = leg.app_log[-1]
        out |= {"last_app": app, "last_arg": data}
    number = leg.profile.cid_number
    out["caller_id"] = f'"{leg.profile.cid_name}" <{number}>' if leg.profile.cid_name else number
    spans = (
        (start, end),
        (t.answered, end),
        (start, t.progress),
        (start, t.answered),
        (start, t.bridged),
        (start, t.progress_media),
        (start, end),
    )
    lasted = [until - since if since and until else 0 for since, until in spans]
    for names, divisor in _SPANS:
        out |= {name: str(us // divisor) for name, us in zip(names, lasted, strict=True)}
    sip = leg.name.startswith("sofia/")
    if leg.name.startswith("loopback/"):
        out["is_loopback"] = "1"
    if leg.hangup_disposition and sip:
        out["sip_hangup_disposition"] = leg.hangup_disposition
    status = leg.sip_status or _STATUS.get(leg.hangup_cause, 0)
    if not leg.answered and leg.hangup_disposition == "recv_refuse" and status:
        out |= {"sip_invite_failure_status": str(status)}
        out |= {"sip_invite_failure_phrase": SIP_PHRASES.get(status, "")}
        out["proto_specific_hangup_cause"] = f"sip:{status}"
    elif not leg.answered and leg.hangup_disposition == "send_cancel":
        out |= {"sip_invite_failure_status": "487", "sip_invite_failure_phrase": "CANCEL"}
    if leg.answered and sip:
        out |= _rtp(max(0, end - t.answered) // 20_000)
    return {name: value for name, value in out.items() if value != ""}


def _rtp(packets: int) -> dict[str, Value]:
    count, size = str(packets), str(packets * 172)
    counted: dict[str, Value] = {}
    for way in ("in", "out"):
        counted |= {f"rtp_audio_{way}_raw_bytes": size, f"rtp_audio_{way}_media_bytes": size}
        counted |= {f"rtp_audio_{way}_packet_count": count, f"rtp_audio_{way}_media_packet_count": count}
    return _RTP | counted


def _sdp(host: str, number: int) -> str:
    port = 16384 + number * 2 % 16000
    return (
        f"v=0\r\no=FreeSWITCH {1795255000 + number} {1795255001 + number} IN IP4 {host}\r\ns=FreeSWITCH\r\n"
        f"c=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
        "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )
