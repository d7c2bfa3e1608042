"""One fact in, its rows out. A function of the fact and its place alone, so that a repetition gives the same rows.

Witnesses, from strong to weak, when several facts speak about one column: who did it, before who was told. ivr knows how
a contact started and went through the menu; routing decides queues, offers, connections and closings; queue saw when
things happened on the switch. See ``tables`` for how the answers are joined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from services.reporting.core.facts import (
    AgentActivityChanged,
    AgentBridged,
    AgentPresenceChanged,
    CenterRevised,
    ContactClosed,
    ContactConnected,
    ContactGone,
    ContactHandedOver,
    ContactOverflowed,
    ContactQueued,
    ContactStarted,
    ContactWaiting,
    ConversationEnded,
    DispositionKeyed,
    IvrEnded,
    IvrStepTaken,
    OfferAnswered,
    OfferEnded,
    OfferFailed,
    OfferMade,
    OfferRinging,
    Placed,
    RecordingFailed,
    RecordingStarted,
    RecordingStored,
    SurveyAnswered,
    SurveyEnded,
    WrapUpEnded,
)
from services.reporting.core.tables import (
    AGENT_CHANGES,
    CENTER_REVISIONS,
    CONTACTS,
    FACTS,
    IVR_STEPS,
    OFFERS,
    RECORDINGS,
    SURVEY_ANSWERS,
    SURVEYS,
    Card,
    Row,
    card_row,
    order,
    version,
)

_encode: Final = msgspec.json.Encoder().encode


class _Cells:
    """Cells of one fact. What is empty or zero is not said: it must not hide another witness's answer."""

    def __init__(self, placed: Placed) -> None:
        self._place = order(placed.seq, placed.idx)
        self.cells: dict[str, tuple[int, Any]] = {}

    def last(self, rank: int, **values: Any) -> _Cells:
        """The latest fact of this rank wins."""
        return self._add(version(rank, self._place), values)

    def first(self, rank: int, **values: Any) -> _Cells:
        """The earliest fact of this rank wins."""
        return self._add(version(rank, self._place, first=True), values)

    def earliest(self, **times_us: int) -> _Cells:
        """The earliest time wins, whoever says so."""
        for name, at_us in times_us.items():
            self.cells[name] = (version(1, at_us, first=True), at_us)
        return self

    def latest(self, **numbers: int) -> _Cells:
        """The greatest number wins."""
        for name, number in numbers.items():
            self.cells[name] = (version(1, number), number)
        return self

    def _add(self, at: int, values: dict[str, Any]) -> _Cells:
        for name, value in values.items():
            if value:
                self.cells[name] = (at, value)
        return self


def rows_of(placed: Placed) -> list[Row]:
    """All rows of one fact; the first is always its row in ``facts``."""
    fact = placed.fact
    rows = [_fact_row(placed)]
    if isinstance(fact, IvrStepTaken):
        rows.append(_step_row(placed, fact))
    elif isinstance(fact, CenterRevised):
        rows.append(_revision_row(placed, fact))
    elif isinstance(fact, (SurveyAnswered, SurveyEnded)):
        rows.append(_survey_row(placed, fact))
    elif isinstance(fact, (AgentPresenceChanged, AgentActivityChanged)):
        rows.append(_change_row(placed, fact))
    for card, key_field, fill in _FILLS.get(type(fact), ()):
        key = getattr(fact, key_field)
        if key:
            cells = _Cells(placed)
            fill(fact, placed, cells)
            if card is CONTACTS:
                cells.earliest(first_seen_us=placed.at_us)
            rows.append(card_row(card, placed.tenant, placed.at_us, key, cells.cells))
    return rows


def _fact_row(placed: Placed) -> Row:
    fact = placed.fact
    return Row(
        FACTS.name,
        (
            placed.tenant,
            placed.contact_id,
            placed.id,
            placed.at_us,
            placed.stream,
            placed.seq,
            placed.idx,
            placed.type,
            getattr(fact, "agent_id", ""),
            getattr(fact, "queue", ""),
            placed.causation_id,
            placed.revision,
            _encode(fact).decode(),
        ),
    )


def _survey_row(placed: Placed, fact: SurveyAnswered | SurveyEnded) -> Row:
    # The columns have the names of the fact's fields.
    table = SURVEY_ANSWERS if isinstance(fact, SurveyAnswered) else SURVEYS
    known = {"tenant": placed.tenant, "contact_id": placed.contact_id, "id": placed.id, "at": placed.at_us}
    values = (known.get(name, getattr(fact, name, None)) for name in table.columns)
    return Row(table.name, tuple(values))


def _step_row(placed: Placed, fact: IvrStepTaken) -> Row:
    return Row(
        IVR_STEPS.name,
        (
            placed.tenant,
            placed.contact_id,
            placed.id,
            placed.at_us,
            fact.step_no,
            fact.flow,
            fact.flow_node,
            fact.kind,
            fact.result,
            fact.spent_ms,
            fact.flow_version,
            # Facts of before it was told have only how long the step took.
            fact.entered_at_us or max(0, placed.at_us - fact.spent_ms * 1000),
            fact.input,
        ),
    )


def _revision_row(placed: Placed, fact: CenterRevised) -> Row:
    return Row(
        CENTER_REVISIONS.name,
        (
            placed.tenant,
            fact.number,
            fact.revision,
            placed.id,
            placed.at_us,
            fact.based_on,
            fact.kind,
            fact.actor,
            fact.reason,
            [(change.path, change.before, change.after) for change in fact.changes],
            fact.changes_left_out,
        ),
    )


def _change_row(placed: Placed, fact: AgentPresenceChanged | AgentActivityChanged) -> Row:
    if isinstance(fact, AgentPresenceChanged):
        said = ("presence", fact.presence, fact.reason, fact.actor, "", "")
    else:
        said = ("activity", fact.activity, "", "", fact.contact_id, fact.queue)
    kind, value, reason, actor, contact_id, queue = said
    return Row(
        AGENT_CHANGES.name,
        (
            placed.tenant,
            fact.agent_id,
            kind,
            placed.id,
            placed.at_us,
            placed.seq,
            placed.idx,
            value,
            reason,
            actor,
            contact_id,
            queue,
            fact.previous,
            fact.previous_ms,
        ),
    )


# ----------------------------------------------------------------------------------------------------------------- contacts
def _started(fact: ContactStarted, placed: Placed, cells: _Cells) -> None:
    cells.first(
        4, start="ivr", started_at_us=fact.started_at_us, node=fact.node, entry_point=fact.entry_point
    )
    cells.first(4, ani=fact.ani, caller_name=fact.caller_name, flow=fact.flow, revision=fact.revision)
    cells.first(2, language=fact.language)


def _stepped(fact: IvrStepTaken, placed: Placed, cells: _Cells) -> None:
    cells.latest(steps=fact.step_no)


def _handed_over(fact: ContactHandedOver, placed: Placed, cells: _Cells) -> None:
    cells.last(2, handed_over_at_us=fact.at_us, customer=fact.customer)
    cells.first(3, first_queue=fact.queue)
    cells.last(3, language=fact.language)
    cells.last(1, queue=fact.queue, priority=fact.priority)


def _ivr_ended(fact: IvrEnded, placed: Placed, cells: _Cells) -> None:
    cells.last(2, ivr_outcome=fact.outcome, ivr_node=fact.flow_node, ivr_ms=fact.duration_ms)
    cells.last(3, ended_at_us=fact.at_us, cause=fact.cause)


def _adopted(fact: ContactWaiting | ContactQueued, cells: _Cells) -> None:
    """What queue and routing know of a contact whose ivr may have been dead."""
    channel = fact.channel if isinstance(fact, ContactQueued) else ""
    placed_by_agent = fact.kind if fact.kind == "outbound" else ""
    start = channel or placed_by_agent or ("callback" if fact.callback_id else "queue")
    cells.first(3, start=start, node=fact.node, entry_point=fact.entry_point)
    cells.first(3, ani=fact.ani, caller_name=fact.caller_name)
    cells.first(1, language=fact.language, customer=fact.customer)
    if fact.started_at_us:
        cells.first(3, started_at_us=fact.started_at_us)
    else:
        cells.first(2, started_at_us=fact.waiting_since_us)
    cells.earliest(waiting_since_us=fact.waiting_since_us)


def _waiting(fact: ContactWaiting, placed: Placed, cells: _Cells) -> None:
    _adopted(fact, cells)
    cells.first(2, first_queue=fact.queue, revision=fact.revision)
    cells.last(2, queue=fact.queue, priority=fact.priority)


def _queued(fact: ContactQueued, placed: Placed, cells: _Cells) -> None:
    _adopted(fact, cells)
    if not fact.requeued:
        cells.first(4, first_queue=fact.queue)
    cells.last(5, queue=fact.queue, priority=fact.priority, routing_state="waiting")


def _connected(fact: ContactConnected, placed: Placed, cells: _Cells) -> None:
    cells.first(5, connected_at_us=fact.connected_at_us or placed.at_us, recording_path=fact.recording_path)
    # Whoever talked last is named: after a transfer that is who finished the contact.
    cells.last(5, agent_id=fact.agent_id, offer_id=fact.offer_id)
    # Of the first connection, even when it came without any wait.
    cells.cells["answer_wait_ms"] = (version(5, order(placed.seq, placed.idx), first=True), fact.wait_ms)
    cells.last(5, routing_state="talking", queue=fact.queue)


def _overflowed(fact: ContactOverflowed, placed: Placed, cells: _Cells) -> None:
    cells.last(5, overflow_reason=fact.reason, overflow_action=fact.action, overflow_target=fact.target)
    cells.last(4, closed_wait_ms=fact.wait_ms)


def _closed(fact: ContactClosed, placed: Placed, cells: _Cells) -> None:
    cells.last(5, routing_state=fact.outcome, queue=fact.queue, result=fact.result, transfers=fact.transfers)
    cells.last(5, closed_wait_ms=fact.wait_ms, talk_ms=fact.talk_ms, hold_ms=fact.hold_ms, offers=fact.offers)
    cells.last(1, agent_id=fact.agent_id, offer_id=fact.offer_id)
    cells.first(1, entry_point=fact.entry_point, ani=fact.ani, first_queue=fact.queue)
    cells.last(5, ended_by=fact.ended_by)
    cells.last(2, cause=fact.cause, ended_at_us=placed.at_us)
    if fact.waiting_since_us:
        cells.earliest(waiting_since_us=fact.waiting_since_us)
        cells.first(1, started_at_us=fact.waiting_since_us)


def _contact_bridged(fact: AgentBridged, placed: Placed, cells: _Cells) -> None:
    cells.first(2, recording_path=fact.recording_path)


def _contact_conversation(fact: ConversationEnded, placed: Placed, cells: _Cells) -> None:
    cells.last(2, talk_ms=fact.talk_ms, hold_ms=fact.hold_ms)
    cells.last(2, ended_by=fact.ended_by)
    cells.last(1, ended_at_us=fact.at_us, cause=fact.cause)


def _gone(fact: ContactGone, placed: Placed, cells: _Cells) -> None:
    # The leg's own end: nobody knows better when the contact was over.
    cells.last(4, ended_at_us=fact.at_us, cause=fact.cause)
    cells.last(2, closed_wait_ms=fact.wait_ms)


def _contact_keyed(fact: DispositionKeyed, placed: Placed, cells: _Cells) -> None:
    cells.last(2, disposition=fact.code, disposition_by="key")


def _contact_wrapped(fact: WrapUpEnded, placed: Placed, cells: _Cells) -> None:
    cells.last(5, wrap_up_ms=fact.wrap_up_ms)
    # A time-out says that nobody gave a code; it must not hide one.
    cells.last(1 if fact.by == "timeout" else 5, disposition=fact.disposition, disposition_by=fact.by)


def _contact_offered(fact: OfferMade, placed: Placed, cells: _Cells) -> None:
    cells.cells["offers"] = (version(3, fact.attempt), fact.attempt)


# ------------------------------------------------------------------------------------------------------------------- offers
def _made(fact: OfferMade, placed: Placed, cells: _Cells) -> None:
    cells.first(5, contact_id=fact.contact_id, agent_id=fact.agent_id, queue=fact.queue, node=fact.node)
    cells.first(5, extension=fact.extension, attempt=fact.attempt, waited_ms=fact.waited_ms)
    cells.first(5, ring_limit_ms=fact.ring_ms, made_at_us=placed.at_us)
    if fact.why is not None:
        cells.first(5, rule=fact.why.rule, candidates=fact.why.candidates, idle_ms=fact.why.idle_ms)


def _offer_parties(
    fact: OfferRinging | OfferFailed | OfferAnswered | AgentBridged | ConversationEnded | OfferEnded,
    cells: _Cells,
) -> None:
    cells.first(1, contact_id=fact.contact_id, agent_id=fact.agent_id)


def _ringing(fact: OfferRinging, placed: Placed, cells: _Cells) -> None:
    _offer_parties(fact, cells)
    cells.first(3, agent_leg_id=fact.agent_leg_id, rang_at_us=fact.at_us or placed.at_us)


def _failed(fact: OfferFailed, placed: Placed, cells: _Cells) -> None:
    _offer_parties(fact, cells)
    cells.first(3, observed_outcome=fact.outcome, cause=fact.cause, ring_ms=fact.ring_ms)
    cells.first(3, ended_at_us=fact.at_us or placed.at_us)


def _answered(fact: OfferAnswered, placed: Placed, cells: _Cells) -> None:
    _offer_parties(fact, cells)
    cells.first(3, ring_ms=fact.ring_ms, answered_at_us=fact.at_us or placed.at_us)


def _bridged(fact: AgentBridged, placed: Placed, cells: _Cells) -> None:
    _offer_parties(fact, cells)
    cells.first(3, agent_leg_id=fact.agent_leg_id, bridged_at_us=fact.at_us, observed_outcome="accepted")
    cells.first(3, answer_latency_ms=fact.answer_latency_ms)
    cells.first(1, queue=fact.queue, node=fact.node)


def _offer_conversation(fact: ConversationEnded, placed: Placed, cells: _Cells) -> None:
    _offer_parties(fact, cells)
    cells.last(3, talk_ms=fact.talk_ms, hold_ms=fact.hold_ms)
    cells.last(3, ended_by=fact.ended_by)


def _offer_ended(fact: OfferEnded, placed: Placed, cells: _Cells) -> None:
    _offer_parties(fact, cells)
    cells.first(5, outcome=fact.outcome)
    cells.first(2, cause=fact.cause, ring_ms=fact.ring_ms, ended_at_us=placed.at_us)


def _offer_keyed(fact: DispositionKeyed, placed: Placed, cells: _Cells) -> None:
    cells.last(3, disposition=fact.code)


# --------------------------------------------------------------------------------------------------------------- recordings
def _recording_started(fact: RecordingStarted, placed: Placed, cells: _Cells) -> None:
    cells.first(2, contact_id=fact.contact_id, node=fact.node, path=fact.path)
    cells.first(1, status="started")
    cells.first(2, started_at_us=fact.at_us or placed.at_us)


def _recording_stored(fact: RecordingStored, placed: Placed, cells: _Cells) -> None:
    cells.last(3, contact_id=fact.contact_id, node=fact.node, path=fact.path, status="stored")
    cells.last(3, stored_at_us=fact.at_us or placed.at_us, started_at_us=fact.started_at_us)
    cells.last(3, bytes=fact.bytes, duration_ms=fact.duration_ms, repaired=int(fact.repaired))
    cells.last(
        3, channels=fact.channels, sample_rate=fact.sample_rate, sha256=fact.sha256, rms=list(fact.rms)
    )
    cells.last(3, agent_id=fact.agent_id, queue=fact.queue)


def _recording_failed(fact: RecordingFailed, placed: Placed, cells: _Cells) -> None:
    cells.first(1, contact_id=fact.contact_id, path=fact.path)
    cells.last(2, status="failed", failure=fact.reason)


_Fill = Callable[[Any, Placed, _Cells], None]

_FILLS: Final[dict[type, tuple[tuple[Card, str, _Fill], ...]]] = {
    ContactStarted: ((CONTACTS, "contact_id", _started),),
    IvrStepTaken: ((CONTACTS, "contact_id", _stepped),),
    ContactHandedOver: ((CONTACTS, "contact_id", _handed_over),),
    IvrEnded: ((CONTACTS, "contact_id", _ivr_ended),),
    ContactWaiting: ((CONTACTS, "contact_id", _waiting),),
    ContactQueued: ((CONTACTS, "contact_id", _queued),),
    ContactConnected: ((CONTACTS, "contact_id", _connected),),
    ContactOverflowed: ((CONTACTS, "contact_id", _overflowed),),
    ContactClosed: ((CONTACTS, "contact_id", _closed),),
    ContactGone: ((CONTACTS, "contact_id", _gone),),
    OfferMade: ((OFFERS, "offer_id", _made), (CONTACTS, "contact_id", _contact_offered)),
    OfferRinging: ((OFFERS, "offer_id", _ringing),),
    OfferFailed: ((OFFERS, "offer_id", _failed),),
    OfferAnswered: ((OFFERS, "offer_id", _answered),),
    OfferEnded: ((OFFERS, "offer_id", _offer_ended),),
    AgentBridged: ((OFFERS, "offer_id", _bridged), (CONTACTS, "contact_id", _contact_bridged)),
    ConversationEnded: (
        (OFFERS, "offer_id", _offer_conversation),
        (CONTACTS, "contact_id", _contact_conversation),
    ),
    DispositionKeyed: ((OFFERS, "offer_id", _offer_keyed), (CONTACTS, "contact_id", _contact_keyed)),
    WrapUpEnded: ((CONTACTS, "contact_id", _contact_wrapped),),
    RecordingStarted: ((RECORDINGS, "recording_id", _recording_started),),
    RecordingStored: ((RECORDINGS, "recording_id", _recording_stored),),
    RecordingFailed: ((RECORDINGS, "recording_id", _recording_failed),),
}
"""Which cards a fact speaks about: the card, the fact's field with its key, and what it says."""
