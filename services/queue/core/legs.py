"""What the shell knows of a leg. Legs are named by their FreeSWITCH UUID; the contact id is the caller's leg."""

from __future__ import annotations

from msgspec import Struct

OUTBOUND = "outbound"  # Kind of an offer, and of its contact: the agent calls a number.


class CallerLeg(Struct, frozen=True, kw_only=True):
    """A caller's leg, from the variables of ``peyvand::waiting`` or of ``uuid_dump``."""

    leg: str
    tenant: str = ""
    queue: str = ""
    priority: int = 0
    skills: tuple[str, ...] = ()
    language: str = ""
    customer: str = ""
    ani: str = ""
    caller_name: str = ""
    entry_point: str = ""
    service_class: str = ""
    preferred_agent: str = ""
    preferred_ms: int = 0  # 0: as the queue says.
    no_answer: str = (
        ""  # Where the caller goes whom that agent has not taken; for the queue of the hand-over.
    )
    survey: str = ""  # cc_survey: the flow that asks after the conversation; "-": none does.
    wish: str = ""  # cc_wish: callback, when the caller has asked for one before coming in.
    revision: str = ""
    started_ms: int = 0
    waiting_ms: int = 0  # 0: nobody has adopted it yet.
    waited_ms: int = 0  # How long ago it was parked, by the switch's own clock.
    bridged_ms: int = 0  # 0: it has not talked yet.
    state: str = ""  # cc_state
    offer: str = ""
    agent: str = ""
    supervisions: tuple[str, ...] = ()  # Legs of those who listen.
    bridged: bool = False  # FreeSWITCH says it exchanges media with ``partner`` now.
    partner: str = ""
    heard: str = ""  # cc_heard: what was said last, see ``schedule``.
    step: str = ""  # cc_step: how far a hold, a consultation or a conference is.
    second: str = ""  # cc_second: the offer of the agent who is asked.
    held_ms: int = 0  # cc_held_ms: since when it hears music in a conversation.
    silent: bool = False  # Parked after a bridge: nothing plays.
    met: str = ""  # The leg of the agent it was offered to, when FreeSWITCH has bridged the two,
    met_ago_ms: int = 0  # and how long ago that was, by the switch's own clock.
    kind: str = ""  # cc_kind: OUTBOUND of a party whom an agent called.
    out: str = ""  # cc_out: the number outside that it is on its way to, and for what.
    callback: str = (
        ""  # The callback whose customer this is; ``offer`` and ``agent`` are those that it was called for.
    )
    answered: bool = True
    arrived: str = ""  # cc_arrived: of one who came from another node; where and when.
    moving: str = ""  # cc_move: the node to which its carrier was asked to bring it.
    refer_status: int = 0  # What the carrier answered.
    taken: bool = (
        False  # cc_taken: this node took the line over; there is no other leg that the caller could be on.
    )


class Line(Struct, frozen=True, kw_only=True):
    """The SIP dialog of an answered call, as another node needs it to go on with it; see ``moves``."""

    call_id: str
    ours: str  # Our address and tag ...
    theirs: str  # ... and the carrier's.
    target: str  # Where requests go.
    route: str = ""  # The proxies on the way.
    proxy: str = ""  # Where requests are sent to, when ``target`` is not where the call came from.
    profile: str
    number: str = ""
    cseq: int = 0  # Of the re-INVITE by which this node took the line over; 0: the call came here by itself.


class AgentLeg(Struct, frozen=True, kw_only=True):
    """An agent's leg that carries one of our offers, from ``uuid_dump``."""

    leg: str
    tenant: str
    contact: str
    offer: str
    agent: str
    answered: bool
    bridged_ms: int = 0
    bridged: bool = False
    partner: str = ""
    kind: str = ""  # Of its offer: transfer, consult, return; empty: from the queue.
    callback: str = ""  # The callback whose customer was to be called after this agent's answer.
    codes: str = ""  # cc_codes: the keys that give the conversation's result.
    elsewhere: bool = False  # Goes through another node, which has the phone.
    unconfirmed: bool = False  # Goes to a number outside where nobody has pressed the key yet.
    met: bool = False  # FreeSWITCH has bridged it with its caller,
    met_ago_ms: int = 0  # so long ago, by the switch's own clock.


class TrunkLeg(Struct, frozen=True, kw_only=True):
    """A leg on a trunk, and the lines that are kept behind it: (leg, trunk, gateway)."""

    leg: str
    tenant: str
    trunk: str
    gateway: str
    contact: str
    answered: bool = False
    then: tuple[tuple[str, str, str], ...] = ()


class OpenContact(Struct, frozen=True, kw_only=True):
    """A contact of this node that routing's log has not closed; found at a takeover."""

    contact: str
    tenant: str
    queue: str
    waiting_since_us: int
    entry_point: str = ""
    offer: str = ""  # The open or accepted offer.
    agent: str = ""
    connected_at_us: int = 0  # 0: it waits.
