"""One leg's data and the headers that its events carry, in the order and with the names of FreeSWITCH 1.10.12.

Header sets were taken from recordings of a real switch (a SIP caller, an originated agent leg, G.711): which events carry
channel variables (not CHANNEL_STATE, CHANNEL_CALLSTATE, CHANNEL_OUTGOING, DTMF), that ``Channel-State`` names the state
that runs while ``Channel-State-Number`` is the state that was asked for, that a bridge gives both legs a new caller
profile, and that ``bridge_uuid`` and ``signal_bond`` stay after the bridge.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from services.simswitch.core.wire import Value

STATES: Final = {
    "CS_NEW": 0,
    "CS_INIT": 1,
    "CS_ROUTING": 2,
    "CS_SOFT_EXECUTE": 3,
    "CS_EXECUTE": 4,
    "CS_EXCHANGE_MEDIA": 5,
    "CS_PARK": 6,
    "CS_CONSUME_MEDIA": 7,
    "CS_HIBERNATE": 8,
    "CS_RESET": 9,
    "CS_HANGUP": 10,
    "CS_REPORTING": 11,
    "CS_DESTROY": 12,
    "CS_NONE": 13,
}
CALL_STATES: Final = {
    "DOWN": 0,
    "DIALING": 1,
    "RINGING": 2,
    "EARLY": 3,
    "ACTIVE": 4,
    "HELD": 5,
    "RING_WAIT": 6,
    "HANGUP": 7,
    "UNHELD": 8,
}
Q850: Final = {
    "NONE": 0,
    "UNALLOCATED_NUMBER": 1,
    "NO_ROUTE_DESTINATION": 3,
    "NORMAL_CLEARING": 16,
    "USER_BUSY": 17,
    "NO_USER_RESPONSE": 18,
    "NO_ANSWER": 19,
    "SUBSCRIBER_ABSENT": 20,
    "CALL_REJECTED": 21,
    "DESTINATION_OUT_OF_ORDER": 27,
    "NORMAL_UNSPECIFIED": 31,
    "NORMAL_TEMPORARY_FAILURE": 41,
    "CHAN_NOT_IMPLEMENTED": 66,
    "SERVICE_NOT_IMPLEMENTED": 79,
    "INCOMPATIBLE_DESTINATION": 88,
    "RECOVERY_ON_TIMER_EXPIRE": 102,
    "INTERWORKING": 127,
    "ORIGINATOR_CANCEL": 487,
    "SYSTEM_SHUTDOWN": 501,
    "LOSE_RACE": 502,
    "MANAGER_REQUEST": 503,
    "ATTENDED_TRANSFER": 601,
    "ALLOTTED_TIMEOUT": 602,
    "USER_NOT_REGISTERED": 606,
    "PICKED_OFF": 605,
    "INVALID_GATEWAY": 608,
}
"""Cause names and numbers; ``hangup_cause_q850`` is the number below 128, else 16."""

SIP_FAILURE: Final = {
    "USER_BUSY": ("486", "Busy Here"),
    "CALL_REJECTED": ("603", "Decline"),
    "NO_USER_RESPONSE": ("480", "Temporarily Unavailable"),
    "UNALLOCATED_NUMBER": ("404", "Not Found"),
}
"""What a phone answers when a leg ends with this cause before it was answered."""

VERSION: Final = "1.10.12-release+git~20240802T210227Z~a88d069d6f~64bit"
USER_AGENT: Final = f"FreeSWITCH-mod_sofia/{VERSION}"
_ALLOW: Final = (
    "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, REGISTER, REFER, NOTIFY, PUBLISH, SUBSCRIBE"
)
_CODECS: Final = "OPUS,G722,PCMU,PCMA,H264,VP8"
_TIMES: Final = (
    ("Profile-Created-Time", "profile_created"),
    ("Channel-Created-Time", "created"),
    ("Channel-Answered-Time", "answered"),
    ("Channel-Progress-Time", "progress"),
    ("Channel-Progress-Media-Time", "progress_media"),
    ("Channel-Hangup-Time", "hungup"),
    ("Channel-Transfer-Time", "transferred"),
    ("Channel-Resurrect-Time", "resurrected"),
    ("Channel-Bridged-Time", "bridged"),
    ("Channel-Last-Hold", "last_hold"),
    ("Channel-Hold-Accum", "hold_accum"),
)


@dataclass(slots=True)
class Times:
    """Microseconds since the epoch; 0 is never. ``hold_accum`` is a duration in microseconds."""

    profile_created: int = 0
    created: int = 0
    answered: int = 0
    progress: int = 0
    progress_media: int = 0
    hungup: int = 0
    transferred: int = 0
    resurrected: int = 0
    bridged: int = 0
    last_hold: int = 0
    hold_accum: int = 0


@dataclass(slots=True)
class Profile:
    """A caller profile: who calls whom, as FreeSWITCH shows it with a prefix (Caller, Other-Leg, Channel)."""

    direction: str
    uuid: str
    chan_name: str
    source: str
    context: str
    destination: str
    username: str = ""
    dialplan: str = ""
    cid_name: str = ""
    cid_number: str = ""
    orig_cid_name: str = ""
    orig_cid_number: str = ""
    callee_name: str = ""
    callee_number: str = ""
    network_addr: str = ""
    ani: str = ""
    transfer_source: str = ""
    logical_direction: str = ""
    index: int = 1
    extension: tuple[str, tuple[tuple[str, str], ...]] = ("", ())
    """Name of the extension and its actions, for the CDR's call flow."""
    times: Times = field(default_factory=Times)

    def headers(self, prefix: str, *, times: bool = True) -> dict[str, Value]:
        """The profile's headers under ``prefix``; without ``times`` they are all 0 and the index is left out."""
        named = (
            ("Direction", self.direction),
            ("Logical-Direction", self.logical_direction or self.direction),
            ("Username", self.username),
            ("Dialplan", self.dialplan),
            ("Caller-ID-Name", self.cid_name),
            ("Caller-ID-Number", self.cid_number),
            ("Orig-Caller-ID-Name", self.orig_cid_name),
            ("Orig-Caller-ID-Number", self.orig_cid_number),
            ("Callee-ID-Name", self.callee_name),
            ("Callee-ID-Number", self.callee_number),
            ("Network-Addr", self.network_addr),
            ("ANI", self.ani),
            ("Destination-Number", self.destination),
            ("Unique-ID", self.uuid),
            ("Source", self.source),
            ("Transfer-Source", self.transfer_source if prefix == "Caller" else ""),
            ("Context", self.context),
            ("Channel-Name", self.chan_name),
        )
        out: dict[str, Value] = {f"{prefix}-{name}": value for name, value in named if value}
        if prefix != "Other-Leg":
            out[f"{prefix}-Profile-Index"] = str(self.index)
        for name, attribute in _TIMES:
            out[f"{prefix}-{name}"] = str(getattr(self.times, attribute)) if times else "0"
        out[f"{prefix}-Screen-Bit"] = "true"
        out[f"{prefix}-Privacy-Hide-Name"] = "false"
        out[f"{prefix}-Privacy-Hide-Number"] = "false"
        return out

    def step(self, now_us: int) -> Profile:
        """The next profile of the same leg (after a bridge or a transfer): the channel's times stay."""
        times = replace(self.times, profile_created=now_us)
        return replace(self, index=self.index + 1, times=times, extension=("", ()))


class Leg:
    """One leg: identity, states, variables, profiles. No behaviour."""

    def __init__(self, uuid: str, profile: Profile, session_id: int) -> None:
        self.uuid = uuid
        self.name = profile.chan_name
        self.direction = profile.direction
        self.profile = profile
        self.old_profiles: list[Profile] = []
        self.session_id = session_id
        self.state = "CS_NEW"
        self.running = "CS_NEW"
        self.call_state = "DOWN"
        self.answer_state = "ringing"
        self.hit_dialplan = profile.direction == "inbound"
        self.hangup_cause = ""
        self.hangup_disposition = ""
        self.codec = False
        self.digits_dialed = ""
        self.variables: dict[str, Value] = {}
        self.other: dict[str, Value] = {}
        """Other-Type and Other-Leg headers, as they were when the legs were joined."""
        self.app_log: list[tuple[str, str, int]] = []

    @property
    def answered(self) -> bool:
        return self.profile.times.answered != 0

    def var(self, name: str) -> str:
        """A variable as text; empty when unset. ``destination_number`` and such come from the profile."""
        value = self.variables.get(name)
        if value is None:
            return self._field(name)
        return value if isinstance(value, str) else "|:".join(value)

    def _field(self, name: str) -> str:
        p = self.profile
        return {
            "destination_number": p.destination,
            "caller_id_name": p.cid_name,
            "caller_id_number": p.cid_number,
            "context": p.context,
            "network_addr": p.network_addr,
            "ani": p.ani,
            "username": p.username,
            "dialplan": p.dialplan,
            "source": p.source,
            "chan_name": p.chan_name,
        }.get(name, "")

    def truth(self, name: str) -> bool:
        """Whether a variable says yes, as ``switch_true`` reads it."""
        value = self.var(name).lower()
        return value in ("yes", "on", "true", "t", "enabled", "active", "allow") or (
            value.isdigit() and int(value) != 0
        )

    def set(self, name: str, value: str) -> None:
        """Set a variable; an empty value unsets it."""
        if value == "":
            self.variables.pop(name, None)
        else:
            self.variables[name] = value

    def basic(self, *, cause: bool = True) -> dict[str, Value]:
        """The channel's own headers, without variables."""
        out: dict[str, Value] = {
            "Channel-State": self.running,
            "Channel-Call-State": self.call_state,
            "Channel-State-Number": str(STATES[self.state]),
            "Channel-Name": self.name,
            "Unique-ID": self.uuid,
            "Call-Direction": self.direction,
            "Presence-Call-Direction": self.direction,
            "Channel-HIT-Dialplan": "true" if self.hit_dialplan else "false",
        }
        if presence_id := self.variables.get("presence_id"):
            out["Channel-Presence-ID"] = presence_id
        if presence_data := self.variables.get("presence_data"):
            out["Channel-Presence-Data"] = presence_data
        out["Channel-Call-UUID"] = self.variables.get("call_uuid", self.uuid)
        out["Answer-State"] = self.answer_state
        if self.hangup_cause and cause:
            out["Hangup-Cause"] = self.hangup_cause
        if self.codec:
            for way in ("Read", "Write"):
                out[f"Channel-{way}-Codec-Name"] = "PCMU"
                out[f"Channel-{way}-Codec-Rate"] = "8000"
                out[f"Channel-{way}-Codec-Bit-Rate"] = "64000"
        if self.running != "CS_NEW":
            out.update(self.profile.headers("Caller"))
        out.update(self.other)
        return out

    def with_variables(self) -> dict[str, Value]:
        """The channel's headers and its variables."""
        out = self.basic()
        for name, value in self.variables.items():
            out["variable_" + name] = value
        return out

    def variable_headers(self) -> dict[str, Value]:
        return {"variable_" + name: value for name, value in self.variables.items()}


def other_leg(kind: str, profile: Profile) -> dict[str, Value]:
    """Other-Type and Other-Leg headers. An originatee is shown from the other side and with its times."""
    out: dict[str, Value] = {"Other-Type": kind}
    if kind == "originatee":
        seen = replace(
            profile, logical_direction="inbound" if profile.direction == "outbound" else "outbound"
        )
        out.update(seen.headers("Other-Leg"))
    else:
        out.update(profile.headers("Other-Leg", times=False))
    return out


def inbound_variables(
    leg: Leg, *, profile_name: str, host: str, user_name: str = "", domain: str = ""
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
        "ep_codec_string": "CORE_PCM_MODULE.PCMU@8000h@20i@64000b,CORE_PCM_MODULE.PCMA@8000h@20i@64000b",
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
        "rtp_use_codec_string": _CODECS,
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
    via = f"SIP/2.0/UDP {host}:5060;rport=5060;branch=z9hG4bK{tag}"
    return {
        "sip_reply_host": host,
        "sip_reply_port": "5060",
        "sip_network_ip": host,
        "sip_network_port": "5060",
        "sip_user_agent": USER_AGENT,
        "sip_allow": _ALLOW,
        "sip_recover_contact": f"<sip:{user}@{host}:5060;transport=udp>",
        "sip_full_via": via,
        "sip_recover_via": via,
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


def media_variables(leg: Leg, host: str) -> dict[str, Value]:
    """What the agreed media adds to a leg when it is answered."""
    out: dict[str, Value] = {}
    if leg.direction == "outbound":
        out["switch_r_sdp"] = _sdp(host, leg.session_id)
        out["ep_codec_string"] = "CORE_PCM_MODULE.PCMU@8000h@20i@64000b"
    return out | {
        "remote_video_media_flow": "inactive",
        "remote_text_media_flow": "inactive",
        "remote_audio_media_flow": "sendrecv",
        "audio_media_flow": "sendrecv",
        "rtp_audio_recv_pt": "0",
        "rtp_use_codec_name": "PCMU",
        "rtp_use_codec_rate": "8000",
        "rtp_use_codec_ptime": "20",
        "rtp_use_codec_channels": "1",
        "rtp_last_audio_codec_string": "PCMU@8000h@20i@1c",
        "read_codec": "PCMU",
        "original_read_codec": "PCMU",
        "read_rate": "8000",
        "original_read_rate": "8000",
        "write_codec": "PCMU",
        "write_rate": "8000",
        "dtmf_type": "rfc2833",
        "local_media_ip": host,
        "local_media_port": str(16384 + leg.session_id * 2 % 16000),
        "advertised_media_ip": host,
        "rtp_use_timer_name": "soft",
        "rtp_use_pt": "0",
        "rtp_use_ssrc": str(2334602650 + leg.session_id),
        "rtp_2833_send_payload": "101",
        "rtp_2833_recv_payload": "101",
        "remote_media_ip": host,
        "remote_media_port": "41192",
    }


def answered_variables(leg: Leg, host: str) -> dict[str, Value]:
    """What our 200 OK adds to an inbound leg."""
    tag = leg.uuid[:8]
    full_to = f"<sip:{leg.profile.destination}@{host}:5080>;tag={tag}"
    return {
        "rtp_local_sdp_str": _sdp(host, leg.session_id),
        "sip_to_tag": tag,
        "sip_cseq": "123094649",
        "sip_full_to": full_to,
    }


def hangup_variables(leg: Leg) -> dict[str, Value]:
    """What the end of a leg adds before CHANNEL_HANGUP_COMPLETE: cause, stamps, durations, media counters."""
    first = leg.old_profiles[0].times if leg.old_profiles else leg.profile.times
    t = leg.profile.times
    start, end = first.created, t.hungup
    q850 = Q850.get(leg.hangup_cause, 16)
    out: dict[str, Value] = {
        "hangup_cause": leg.hangup_cause,
        "hangup_cause_q850": str(q850 if q850 < 128 else 16),
        "digits_dialed": leg.digits_dialed or "none",
    }
    stamps = (
        ("start", start),
        ("profile_start", t.profile_created),
        ("answer", t.answered),
        ("bridge", t.bridged),
        ("progress", t.progress),
        ("progress_media", t.progress_media),
        ("end", end),
    )
    out |= {f"{name}_stamp": stamp(us) for name, us in stamps if us}
    for name, us in stamps[:4]:
        out |= {f"{name}_epoch": str(us // 1_000_000), f"{name}_uepoch": str(us)}
    out |= {"last_hold_epoch": str(t.last_hold // 1_000_000), "last_hold_uepoch": str(t.last_hold)}
    out |= {"hold_accum_seconds": str(t.hold_accum // 1_000_000), "hold_accum_usec": str(t.hold_accum)}
    out |= {"hold_accum_ms": str(t.hold_accum // 1000), "resurrect_epoch": "0", "resurrect_uepoch": "0"}
    for name, us in stamps[4:]:
        out |= {f"{name}_epoch": str(us // 1_000_000), f"{name}_uepoch": str(us)}
    if leg.app_log:
        app, data, _ = leg.app_log[-1]
        out |= {"last_app": app, "last_arg": data}
    out["caller_id"] = f'"{leg.profile.cid_name}" <{leg.profile.cid_number}>'
    spans = (
        ("", start, end),
        ("bill", t.answered, end),
        ("progress", start, t.progress),
        ("answer", start, t.answered),
        ("wait", start, t.bridged),
        ("progress_media", start, t.progress_media),
        ("flow_bill", start, end),
    )
    for unit, divisor in (("sec", 1_000_000), ("msec", 1000), ("usec", 1)):
        for name, since, until in spans:
            value = (until - since) // divisor if since and until else 0
            label = (
                {"sec": "duration", "msec": "mduration", "usec": "uduration"}[unit]
                if not name
                else name + unit
            )
            out[label] = str(value)
    if leg.hangup_disposition:
        out["sip_hangup_disposition"] = leg.hangup_disposition
    if not leg.answered and leg.hangup_disposition == "recv_refuse" and leg.hangup_cause in SIP_FAILURE:
        status, phrase = SIP_FAILURE[leg.hangup_cause]
        out |= {"sip_invite_failure_status": status, "sip_invite_failure_phrase": phrase}
        out["proto_specific_hangup_cause"] = f"sip:{status}"
    elif not leg.answered and leg.hangup_disposition == "send_cancel":
        out |= {"sip_invite_failure_status": "487", "sip_invite_failure_phrase": "CANCEL"}
    if leg.answered:
        out |= _rtp(max(0, end - t.answered) // 20_000)
    return {name: value for name, value in out.items() if value != ""}


def _rtp(packets: int) -> dict[str, Value]:
    counters: dict[str, Any] = {
        "in_raw_bytes": packets * 172,
        "in_media_bytes": packets * 172,
        "in_packet_count": packets,
        "in_media_packet_count": packets,
        "in_skip_packet_count": 0,
        "in_jitter_packet_count": 0,
        "in_dtmf_packet_count": 0,
        "in_cng_packet_count": 0,
        "in_flush_packet_count": 0,
        "in_largest_jb_size": 0,
        "in_jitter_min_variance": "0.00",
        "in_jitter_max_variance": "0.00",
        "in_jitter_loss_rate": "0.00",
        "in_jitter_burst_rate": "0.00",
        "in_mean_interval": "20.00",
        "in_flaw_total": 0,
        "in_quality_percentage": "100.00",
        "in_mos": "4.50",
        "out_raw_bytes": packets * 172,
        "out_media_bytes": packets * 172,
        "out_packet_count": packets,
        "out_media_packet_count": packets,
        "out_skip_packet_count": 0,
        "out_dtmf_packet_count": 0,
        "out_cng_packet_count": 0,
        "rtcp_packet_count": 0,
        "rtcp_octet_count": 0,
    }
    return {f"rtp_audio_{name}": str(value) for name, value in counters.items()}


def stamp(us: int) -> str:
    """``2026-11-21 21:34:42`` in UTC."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _sdp(host: str, number: int) -> str:
    port = 16384 + number * 2 % 16000
    return (
        f"v=0\r\no=FreeSWITCH {1795255000 + number} {1795255001 + number} IN IP4 {host}\r\ns=FreeSWITCH\r\n"
        f"c=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
        "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )
