"""A leg's record, from the event socket or from mod_json_cdr's file, to its row.

Both carry the same channel variables; they are told apart only to say which came and to let the richer one, the file, win
where both speak. Times are microseconds since the epoch, UTC.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from services.reporting.core.tables import CONTACTS, LEGS, Row, card_row, version

Source = Literal["socket", "spool", "import"]

NO_TENANT: Final = "-"
"""Tenant of legs that nobody claimed: hung up before ivr or queue wrote one on the channel."""

_INT_MAX: Final = 2**53  # as microseconds the year 2255, which DateTime64 can still show

_RANK: Final[dict[Source, int]] = {"import": 1, "socket": 1, "spool": 2}


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a channel after its end. Empty and 0 mean unknown."""

    leg_id: str
    source: Source
    tenant: str = NO_TENANT
    agent_extension: str = ""
    phone: str = ""
    contact_id: str = ""
    offer_id: str = ""
    agent_id: str = ""
    role: str = ""
    queue: str = ""
    entry_point: str = ""
    state: str = ""
    node: str = ""
    direction: str = ""
    ani: str = ""
    caller_name: str = ""
    destination: str = ""
    started_at_us: int = 0
    answered_at_us: int = 0
    bridged_at_us: int = 0
    ended_at_us: int = 0
    duration_ms: int = 0
    billed_ms: int = 0
    hold_ms: int = 0
    hangup_cause: str = ""
    cause_q850: int = 0
    sip_status: int = 0
    sip_disposition: str = ""
    codec: str = ""
    remote_ip: str = ""
    user_agent: str = ""
    mos_milli: int = 0
    packets_in: int = 0
    packets_out: int = 0
    packets_skipped: int = 0
    jitter_us: int = 0
    packet_loss_ppm: int = 0
    moved_away: bool = False
    """The caller goes on on a leg of another node."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a record that is no channel variable: each source has it in a form of its own."""

    leg_id: str
    direction: str = ""
    ani: str = ""
    caller_name: str = ""
    destination: str = ""
    switch: str = ""
    created_at_us: int = 0
    answered_at_us: int = 0
    bridged_at_us: int = 0
    hung_up_at_us: int = 0
    hangup_cause: str = ""


def leg_of(source: Source, profile: Profile, variables: Mapping[str, str]) -> Leg:
    """Join the profile and the channel variables. What is no number where one is expected counts as unknown."""

    def text(*names: str) -> str:
        return next((_clean(variables[n]) for n in names if variables.get(n)), "")

    def number(*names: str) -> int:
        return next((n for n in (whole(variables.get(name, "")) for name in names) if n), 0)

    presence = text("presence_data").split("/")  # c/<tenant>/<contact> or a/<tenant>/<contact>/<offer>
    tagged = presence if len(presence) >= 3 and presence[0] in ("c", "a") else ["", "", ""]
    contact = text("cc_contact", "accountcode") or tagged[2]
    tenant = text("cc_tenant") or tagged[1] or NO_TENANT
    agent_leg = text("cc_role") == "agent" or tagged[0] == "a"
    started = number("start_uepoch") or profile.created_at_us
    ended = number("end_uepoch") or profile.hung_up_at_us
    answered = number("answer_uepoch") or profile.answered_at_us
    return Leg(
        leg_id=_clean(profile.leg_id),
        source=source,
        tenant=tenant,
        agent_extension=text("cc_agent_ext"),
        phone=text("user_name", "dialed_user"),
        contact_id=contact,
        offer_id=text("cc_offer") if agent_leg else "",
        agent_id=text("cc_agent"),
        role="agent"
        if agent_leg
        else "caller"
        if contact == _clean(profile.leg_id) or (contact and text("cc_arrived"))
        else "other",
        moved_away=bool(text("cc_move"))
        and (text("hangup_cause") or profile.hangup_cause) == "BLIND_TRANSFER",
        queue=text("cc_queue"),
        entry_point=text("cc_entry"),
        state=text("cc_state"),
        node=text("cc_node") or _clean(profile.switch),
        direction=_clean(profile.direction) or text("direction"),
        ani=_clean(profile.ani),
        caller_name=_clean(profile.caller_name),
        destination=_clean(profile.destination),
        started_at_us=started,
        answered_at_us=answered,
        bridged_at_us=number("bridge_uepoch") or profile.bridged_at_us,
        ended_at_us=ended,
        duration_ms=number("mduration") or max(ended - started, 0) // 1000,
        billed_ms=number("billmsec") or (max(ended - answered, 0) // 1000 if answered else 0),
        hold_ms=number("hold_accum_ms"),
        hangup_cause=text("hangup_cause") or _clean(profile.hangup_cause),
        cause_q850=number("hangup_cause_q850"),
        sip_status=number("sip_term_status", "sip_invite_failure_status"),
        sip_disposition=text("sip_hangup_disposition"),
        codec=text("read_codec"),
        remote_ip=text("sip_network_ip", "remote_media_ip"),
        user_agent=text("sip_user_agent"),
        mos_milli=_milli(variables.get("rtp_audio_in_mos", "")),
        packets_in=number("rtp_audio_in_media_packet_count", "rtp_audio_in_packet_count"),
        packets_out=number("rtp_audio_out_media_packet_count", "rtp_audio_out_packet_count"),
        packets_skipped=number("rtp_audio_in_skip_packet_count"),
        jitter_us=_jitter_us(variables.get("rtp_audio_in_jitter_max_variance", "")),
        packet_loss_ppm=_loss_ppm(
            number("rtp_audio_in_flaw_total"),
            number("rtp_audio_in_media_packet_count", "rtp_audio_in_packet_count"),
        ),
    )


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """Whose numbers are whose, from the center documents. ``default`` serves numbers that nobody claims, as ivr does."""

    entry_points: Mapping[str, str]
    extensions: Mapping[str, str]
    default: str = NO_TENANT


def claim(leg: Leg, directory: Directory) -> Leg:
    """Give a leg that nobody wrote a tenant on to whom its number belongs.

    Feature codes and an agent's own calls are not marked by anybody, and a caller may leave before ivr has taken the call.
    """
    if leg.tenant != NO_TENANT:
        return leg
    if leg.agent_extension:
        tenant = directory.extensions.get(leg.agent_extension, NO_TENANT)
    elif leg.entry_point:
        tenant = directory.entry_points.get(leg.entry_point, directory.default)
    elif leg.phone:
        tenant = directory.extensions.get(leg.phone, NO_TENANT)
    else:
        return leg
    return msgspec.structs.replace(leg, tenant=tenant)


def rows_of_leg(leg: Leg) -> list[Row]:
    """The leg's row, and for a caller's leg what it says about the contact."""
    at = version(_RANK[leg.source])
    cells: dict[str, tuple[int, Any]] = {}
    if leg.source != "import":
        cells[f"from_{leg.source}"] = (version(1), 1)
    for name in LEGS.cells:
        value = getattr(leg, name, None)
        if value:
            cells[name] = (at, value)
    day_at_us = leg.started_at_us or leg.ended_at_us
    rows = [card_row(LEGS, leg.tenant, day_at_us, leg.leg_id, cells)]
    # Feature codes that agents dial are calls too, but no contacts. A line that went on at another node is not the contact's end; the leg that
    # it went on on (``cc_arrived``) may be.
    if (
        leg.role == "caller"
        and not leg.moved_away
        and leg.tenant != NO_TENANT
        and not leg.entry_point.startswith("*")
    ):
        end: dict[str, tuple[int, Any]] = {
            "leg_ended_at_us": (at, leg.ended_at_us or day_at_us),
            "leg_cause": (at, leg.hangup_cause),
            "leg_state": (at, leg.state),
        }
        if leg.direction == "inbound" and leg.leg_id == leg.contact_id and leg.entry_point:
            # Whoever called while nobody of ours could see the switch is known by this alone. Its rank is below ivr's and queue's.
            end |= {"start": (at, "switch"), "entry_point": (at, leg.entry_point)}
            end |= {"started_at_us": (at, leg.started_at_us)} if leg.started_at_us else {}
            end |= {
                name: (at, value) for name in ("node", "ani", "caller_name") if (value := getattr(leg, name))
            }
        rows.append(card_row(CONTACTS, leg.tenant, day_at_us, leg.contact_id, end))
    return rows


def _clean(text: str) -> str:
    """Bytes of a phone that were no UTF-8 arrive as lone surrogates, which ClickHouse's protocol cannot carry."""
    return text.encode("utf-8", "replace").decode("utf-8")


def whole(text: str) -> int:
    """A number as the switch writes it; 0 for what is none, the bounds for what is out of them."""
    try:
        return min(max(int(text), 0), _INT_MAX)
    except ValueError:
        return 0


def _jitter_us(variance_ms2: str) -> int:
    """Jitter of a leg: the root of the greatest variance (ms squared) that its packets' spacing reached.

    FreeSWITCH 1.10 keeps the variance of the whole leg up to now and writes down only the least and the greatest value that it
    passed through (``check_jitter`` of switch_rtp.c), so this is never less than the leg's own.
    """
    try:
        return min(max(round(math.sqrt(float(variance_ms2)) * 1000), 0), _INT_MAX)
    except (ValueError, OverflowError):
        return 0


def _loss_ppm(flaws: int, packets: int) -> int:
    """Share of the packets that did not come, in a million expected ones.

    The flaws of switch_rtp.c, from which it makes the MOS, too: gaps in the sequence numbers, more of them when they follow each other.
    ``rtp_audio_in_skip_packet_count`` is none of them: it counts reads that found nothing.
    """
    return round(flaws * 1_000_000 / (packets + flaws)) if flaws else 0


def _milli(text: str) -> int:
    try:
        return min(max(round(float(text) * 1000), 0), _INT_MAX)
    except (ValueError, OverflowError):
        return 0
