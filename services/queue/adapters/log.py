"""Routing's log as inputs of one node, and what routing answers when it is asked for the node's open contacts."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from prometheus_client import Counter

from services.common.bus import Envelope, codec
from services.common.errors import DecodeError, NewerMessage
from services.common.ids import derived_id
from services.contracts.peyvand.routing.v1.log_pb2 import Decided, Fact
from services.contracts.peyvand.routing.v1.rpc_pb2 import OpenContacts
from services.queue.core import inputs, legs

log = structlog.get_logger()

# What routing said in words of a newer version. Above zero after an upgrade is done: update queue, too.
NEWER = Counter(
    "peyvand_queue_newer_facts_total", "Facts of routing passed over because a newer version wrote them"
)
_told: list[str] = []


def decided(envelope: Envelope) -> Decided:
    """The entry in an envelope. Raises DecodeError."""
    message = codec.decode(envelope)
    if not isinstance(message, Decided):
        raise DecodeError(f"{envelope.subject}: expected peyvand.routing.v1.Decided, found {envelope.type}")
    return message


def inputs_of(envelopes: Iterable[Envelope], node: str, at_us: int) -> list[inputs.Input]:
    """Return what a batch of entries asks of ``node``, in order. Raises DecodeError.

    Offers that were made and ended within the batch are ended first, so that catching up after a pause does not ring phones
    for orders that are over. What a newer routing says in words that this program does not have is no order to it: it is
    counted and passed over, for during an upgrade it may come with every call, and must not hold up those that are understood.
    """
    ended: list[inputs.Input] = []
    rest: list[inputs.Input] = []
    made: set[str] = set()
    for envelope in envelopes:
        try:
            entry = decided(envelope)
        except NewerMessage as e:
            _pass_over(envelope, str(e))
            continue
        for fact in entry.facts:
            if fact.WhichOneof("fact") is None:
                _pass_over(envelope, "a kind of fact that is not known here")
            event = _input(fact, envelope.tenant, entry.at_us, node, at_us)
            if isinstance(event, inputs.OfferMade):
                made.add(event.offer_id)
            if (
                isinstance(event, inputs.OfferEnded)
                and event.offer_id in made
                and event.outcome != "accepted"
            ):
                ended.append(event)
            elif event is not None:
                rest.append(event)
    return [*ended, *rest]


def _pass_over(envelope: Envelope, reason: str) -> None:
    NEWER.inc()
    if not _told:  # once: during an upgrade they come with every call
        _told.append(envelope.type)
        log.warning(
            "log_entry_newer",
            type=envelope.type,
            stream_seq=envelope.stream_seq,
            source=envelope.source,
            reason=reason,
        )


def _input(fact: Fact, tenant: str, decided_at_us: int, node: str, at_us: int) -> inputs.Input | None:
    match fact.WhichOneof("fact"):
        case "offer_made":
            made = fact.offer_made
            if made.node != node or made.channel:  # Of another channel: its service carries it out.
                return None
            return inputs.OfferMade(
                at_us=at_us,
                tenant=tenant,
                offer_id=made.offer_id,
                contact_id=made.contact_id,
                agent_id=made.agent_id,
                extension=made.extension,
                queue=made.queue,
                leg=derived_id("leg", made.offer_id),
                ring_ms=made.ring_ms,
                at_once=made.at_once or 1,
                kind=made.kind,
                age_ms=max(0, (at_us - decided_at_us) // 1000),
                callback_id=made.callback_id,
                number=made.number,
                first=made.first or "customer",
                language=made.language,
                entry_point=made.entry_point,
                waiting_since_us=made.waiting_since_us,
                dial_ms=made.dial_ms,
                caller_id=made.caller_id,
                agent_leg=made.agent_leg,
                agent_node=made.agent_node,
                agent_number=made.agent_number,
                confirm=made.confirm,
            )
        case "offer_ended":
            over = fact.offer_ended
            return inputs.OfferEnded(
                at_us=at_us, offer_id=over.offer_id, contact_id=over.contact_id, outcome=over.outcome
            )
        case "contact_overflowed":
            overflow = fact.contact_overflowed
            return inputs.ContactOverflowed(
                at_us=at_us, contact_id=overflow.contact_id, action=overflow.action, target=overflow.target
            )
        case "contact_transferred":
            given = fact.contact_transferred
            return inputs.ContactTransferred(
                at_us=at_us,
                contact_id=given.contact_id,
                offer_id=given.offer_id,
                target_kind=given.target_kind,
                target=given.target,
                waiting_since_us=given.kept_waiting_since_us,
            )
        case "transfer_refused":
            no = fact.transfer_refused
            return inputs.TransferRefused(
                at_us=at_us,
                contact_id=no.contact_id,
                request_id=no.request_id,
                reason=no.reason,
                detail=no.detail,
            )
        case "contact_closed":
            closed = fact.contact_closed
            return inputs.ContactClosed(at_us=at_us, contact_id=closed.contact_id, outcome=closed.outcome)
        case "contact_moved":
            moved = fact.contact_moved
            return inputs.ContactMoved(at_us=at_us, contact_id=moved.contact_id, node=moved.node)
        case "node_changed":
            seen = fact.node_changed
            return inputs.PeerSeen(at_us=at_us, node=seen.node, up=seen.up)
        case "node_draining":
            empties = fact.node_draining
            return inputs.PeerSeen(at_us=at_us, node=empties.node, draining=empties.draining)
        case "agent_activity_changed":
            now = fact.agent_activity_changed
            if now.activity != "idle":
                return None
            age_ms = max(0, (at_us - decided_at_us) // 1000)
            return inputs.AgentFreed(at_us=at_us, tenant=tenant, agent_id=now.agent_id, age_ms=age_ms)
        case "wrap_up_ended":
            free = fact.wrap_up_ended
            return inputs.WrapUpEnded(at_us=at_us, agent_id=free.agent_id, contact_id=free.contact_id)
    return None


def open_contacts(answer: Envelope, tenant: str) -> tuple[list[legs.OpenContact], bool]:
    """The contacts that routing has open, and whether there are more. Raises DecodeError."""
    message = codec.decode(answer)
    if not isinstance(message, OpenContacts):
        raise DecodeError(f"{answer.subject}: expected peyvand.routing.v1.OpenContacts, found {answer.type}")
    found = [
        legs.OpenContact(
            contact=c.contact_id,
            tenant=tenant,
            queue=c.queue,
            waiting_since_us=c.waiting_since_us,
            entry_point=c.entry_point,
            offer=c.offer_id,
            agent=c.agent_id,
            connected_at_us=c.connected_at_us,
        )
        for c in message.contacts
    ]
    return found, message.more
