"""A supervisor listens to a contact, whispers to its agent, or speaks to both.

Theory of operation. The supervisor's leg runs ``eavesdrop`` on the agent's leg while there is one that talks, else on the caller's. On the
agent's leg a whisper is mixed into what the agent hears and into nothing else, so the contact's recording, which is made on the
caller's leg, never has it. The leg is sent there by one ``uuid_transfer`` with everything it will ever need:

    keys *1 *2 *3, eavesdrop <agent's leg>, set the mode to listen, eavesdrop <caller's leg>, hangup

so when the agent leaves, or all of our processes are dead, the supervisor goes on hearing the caller, is heard by nobody, and is hung up with
the call. The next agent's bridge sends the leg to the new agent's. A change of mode is the same command again: the keys that eavesdrop has of
its own mean different people on different legs, and are switched off.

The intent (``cc_mode``, ``cc_seq``) is on the leg before each command, and what came of it (``cc_joined``) after; a new owner of the node
repeats what has no effect yet. The caller's leg has the names of its supervisions, so that one that ended unseen is told of.

Who may: ``Watch`` of the center's plan. A supervisor who is of no team of the agent's may not even learn that there is a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.queue.core import inputs, outputs
from services.queue.core import supervision_messages as sm
from services.queue.core import supervision_told as told
from services.queue.core.causes import cause_of
from services.queue.core.listening import (
    BARGE,
    LISTEN,
    MODES,
    WHISPER,
    Ear,
    Supervision,
    SupervisionAnswered,
    SupervisorLeg,
)
from services.queue.core.node import Node
from services.queue.core.records import Caller, Offer, Phase, Stage

OFF = "off"
RING_MS = 20_000
JOIN_MS = 3_000  # The transfer takes effect within 100 ms; a leg that has not been heard of for so long hears nothing.
JOB_LATE_MS = (
    2_000  # As in ``offers``: originate must have let go of an answered leg before it is sent anywhere.
)
CLOSE_MS = 500
CLOSE_TRIES = 20
MOST = 5  # Supervisors at one contact.
TIMER = "supervise"


def take(node: Node, event: inputs.Input) -> bool:
    """Handle what concerns a supervision. Return whether it concerns nothing else."""
    handler = _HANDLERS.get(type(event))
    return handler is not None and handler(node, event)


# ------------------------------------------------------------------------------------------------------------- wishes


def may(node: Node, caller: Caller, supervisor: str, *, everybody: bool) -> bool:
    """Whether a supervisor may know of a contact and steer it: of the agent who has it, else of those who serve its queue."""
    watch = caller.center.watch
    if everybody or watch is None:
        return True
    offer = node.offer_of(caller)
    if offer is not None:
        return supervisor in watch.agents.get(offer.agent, ())
    return supervisor in watch.queues.get(caller.queue.name, ())


def _wished(node: Node, wish: sm.SuperviseWished) -> bool:
    if problem := _refusal(node, wish):
        slug, reason, status = problem
        node.emit(SupervisionAnswered(request=wish.request, slug=slug, reason=reason, status=status))
        return True
    caller = node.callers[wish.contact]
    known = _of(node, wish.contact, wish.supervisor)
    if wish.mode == OFF:
        if known is not None:
            known.requests.append(wish.request)
            _close(node, known, "wish")
    elif known is not None:
        known.requests.append(wish.request)
        _set_mode(node, known, wish.mode, "http")
    else:
        _begin(node, caller, wish)
    return True


def _refusal(node: Node, wish: sm.SuperviseWished) -> tuple[str, str, int] | None:
    caller = node.callers.get(wish.contact)
    if (
        caller is None
        or caller.tenant != wish.tenant
        or not may(node, caller, wish.supervisor, everybody=wish.everybody)
    ):
        unknown = f"no contact {wish.contact!r} of a team of {wish.supervisor} is on node {node.name}"
        return "unknown-contact", unknown, 404
    if wish.mode not in (*MODES, OFF):
        return "unknown-mode", f"expected one of {', '.join(MODES)}, {OFF}; found {wish.mode!r}", 422
    known = _of(node, wish.contact, wish.supervisor)
    if wish.mode == OFF:
        if known is None:
            return "not-supervising", f"{wish.supervisor} does not supervise {wish.contact}", 409
        return None
    if caller.stage in (Stage.PARTED, Stage.LEAVING):
        return "contact-ending", f"contact {wish.contact} is about to end", 409
    talking = _talking(node, caller)
    if wish.mode != LISTEN and talking is None:
        return "no-conversation", f"no agent talks with {wish.contact}; only {LISTEN} is possible", 409
    if talking is not None and talking.agent == wish.supervisor:
        return "own-conversation", f"{wish.supervisor} talks with {wish.contact}", 409
    if known is not None:
        if not wish.extension and wish.leg != known.leg:
            return "supervising-already", f"{wish.supervisor} supervises {wish.contact} already", 409
        return None
    if sum(s.contact == wish.contact for s in node.supervisions.values()) >= MOST:
        return "too-many-supervisors", f"{MOST} supervise {wish.contact} already", 409
    return None


def _of(node: Node, contact: str, supervisor: str) -> Supervision | None:
    for found in node.supervisions.values():
        if (found.contact, found.supervisor) == (contact, supervisor) and found.phase is not Ear.CLOSING:
            return found
    return None


def _talking(node: Node, caller: Caller) -> Offer | None:
    offer = node.offer_of(caller)
    return offer if offer is not None and offer.phase is Phase.TALKING else None


def _begin(node: Node, caller: Caller, wish: sm.SuperviseWished) -> None:
    talking = _talking(node, caller)
    made = Supervision(
        leg=wish.leg,
        tenant=caller.tenant,
        contact=caller.contact,
        supervisor=wish.supervisor,
        mode=wish.mode,
        phase=Ear.RINGING if wish.extension else Ear.ANSWERED,
        agent=talking.agent if talking is not None else "",
        job_pending=bool(wish.extension),
        requests=[wish.request],
    )
    node.supervisions[made.leg] = made
    if not wish.extension:
        _join(node, made)
        return
    node.emit(
        sm.CallSupervisor(
            contact=made.contact,
            leg=made.leg,
            offer=made.leg,
            agent=made.supervisor,
            extension=wish.extension,
            phone_node=wish.phone_node,
            tenant=made.tenant,
            ring_ms=RING_MS,
            ani=caller.leg.ani,
            caller_name=made.agent,
            heard_agent=made.agent,
            mode=made.mode,
        )
    )


def _keyed(node: Node, event: sm.ModeKeyed) -> bool:
    found = node.supervisions.get(event.leg)
    if found is None or found.phase is Ear.CLOSING or event.mode not in MODES:
        return True
    caller = node.callers.get(found.contact)
    if event.mode == LISTEN or (caller is not None and _talking(node, caller) is not None):
        _set_mode(node, found, event.mode, "key")
    return True


def _set_mode(node: Node, found: Supervision, mode: str, by: str) -> None:
    found.by = by
    if found.phase is Ear.LISTENING and found.mode == mode:
        told.answer(node, found, "listening")
        return
    found.mode = mode
    if found.phase in (Ear.JOINING, Ear.LISTENING):
        _join(node, found)
    else:
        told.answer(node, found, "ringing")


# ------------------------------------------------------------------------------------------------------ to the call


def _join(node: Node, found: Supervision) -> None:
    """Send the supervisor's leg to the call, in the mode that is wanted."""
    caller = node.callers.get(found.contact)
    if caller is None:
        _close(node, found, "contact")
        return
    talking = _talking(node, caller)
    if talking is None:
        found.mode = LISTEN
    found.agent = talking.agent if talking is not None else ""
    found.target = talking.leg if talking is not None else caller.contact
    found.seq += 1
    found.phase = Ear.JOINING
    found.first_mode = found.first_mode or found.mode
    node.set_vars(
        found.contact,
        found.leg,
        cc_role="supervisor",
        cc_tenant=found.tenant,
        cc_contact=found.contact,
        cc_supervisor=found.supervisor,
        cc_heard_agent=found.agent or "-",
        cc_mode=found.mode,
        cc_first_mode=found.first_mode,
        cc_seq=str(found.seq),
        cc_target=found.target,
        presence_data=f"s/{found.tenant}/{found.contact}",
        eavesdrop_enable_dtmf="false",
        eavesdrop_whisper_aleg="true" if found.mode == BARGE else "false",
        eavesdrop_whisper_bleg="true" if found.mode in (WHISPER, BARGE) else "false",
    )
    node.emit(
        sm.Listen(
            contact=found.contact,
            leg=found.leg,
            target=found.target,
            then=caller.contact if talking is not None else "",
        )
    )
    node.timer(f"{TIMER}:join-{found.leg}", JOIN_MS)


def _overheard(node: Node, event: sm.LegOverheard) -> bool:
    """The first word of FreeSWITCH that somebody hears the leg; of two who were sent there at once, both will."""
    for found in node.supervisions.values():
        if found.phase is Ear.JOINING and found.target == event.leg:
            _joined(node, found)
    return True


def _joined(node: Node, found: Supervision) -> None:
    found.phase = Ear.LISTENING
    node.cancel_timer(f"{TIMER}:join-{found.leg}")
    first = not found.started_at_us
    found.started_at_us = found.started_at_us or node.at_us
    node.set_vars(
        found.contact,
        found.leg,
        cc_joined=str(found.seq),
        cc_listens_ms=str(found.started_at_us // 1000),
    )
    if first:
        told.note_on_caller(node, found.contact)
        told.started(node, found)
    told.mode_changed(node, found, found.by)
    told.answer(node, found, "listening")


def review(node: Node) -> None:
    """Whoever supervises a contact hears the agent who has it now, however that agent came by it."""
    for found in [s for s in node.supervisions.values() if s.phase in (Ear.JOINING, Ear.LISTENING)]:
        caller = node.callers.get(found.contact)
        talking = _talking(node, caller) if caller is not None else None
        if talking is not None and not talking.leg_gone and found.target != talking.leg:
            found.by = "system"
            _join(node, found)


def leg_over(node: Node, leg: str) -> None:
    """A leg of a call is over: FreeSWITCH has sent its listeners on to the caller, silently, or hangs them up with the caller."""
    for found in [s for s in node.supervisions.values() if leg in (s.contact, s.target)]:
        if leg == found.contact:
            _close(node, found, "contact")
        elif found.phase in (Ear.JOINING, Ear.LISTENING):
            found.target, found.mode = found.contact, LISTEN
            found.agent = ""
            if found.phase is Ear.LISTENING:
                told.mode_changed(node, found, "system")


# -------------------------------------------------------------------------------------------- the supervisor's leg


def _ringing(node: Node, event: inputs.LegRinging) -> bool:
    found = node.supervisions.get(event.leg)
    if found is not None and found.phase is Ear.RINGING:
        told.answer(node, found, "ringing")
    return found is not None


def _answered(node: Node, event: inputs.LegAnswered) -> bool:
    found = node.supervisions.get(event.leg)
    if found is not None and found.phase is Ear.RINGING:
        found.phase = Ear.ANSWERED
        node.timer(f"{TIMER}:join-{found.leg}", JOB_LATE_MS if found.job_pending else CLOSE_MS)
    elif found is not None and found.phase is Ear.CLOSING:
        _press_close(node, found)
    return found is not None


def _created(node: Node, event: inputs.LegCreated) -> bool:
    found = node.supervisions.get(event.leg)
    if found is not None and found.phase is Ear.CLOSING:
        _press_close(node, found)  # The kill came before the channel and missed.
    return found is not None


def _job_ended(node: Node, event: inputs.JobEnded) -> bool:
    found = node.supervisions.get(event.offer)
    if found is None:
        return False
    found.job_pending = False
    if event.ok and found.phase in (Ear.RINGING, Ear.ANSWERED):
        _join(node, found)
    elif event.ok:
        _press_close(node, found)
    elif event.known:
        _over(node, found, cause_of(event.text))
    else:
        node.emit(outputs.Probe(contact=found.contact, leg=found.leg))
    return True


def _hung_up(node: Node, event: inputs.LegHungUp) -> bool:
    found = node.supervisions.get(event.leg)
    if found is not None:
        node.remember_gone(event.leg)
        if found.job_pending:
            found.phase = Ear.CLOSING  # The job brings the cause.
        else:
            _over(node, found, event.cause)
    return found is not None


def _probed(node: Node, event: inputs.LegProbed) -> bool:
    found = node.supervisions.get(event.leg)
    if found is not None and not event.alive and not found.job_pending:
        _over(node, found, "UNSEEN")
    elif found is not None and event.answered and found.phase is Ear.RINGING:
        return _answered(node, inputs.LegAnswered(at_us=node.at_us, leg=event.leg))
    return found is not None


def _failed(node: Node, event: inputs.CommandFailed) -> bool:
    """A refused originate is told by its job; a leg that cannot be sent to the call is gone, or will be ended."""
    found = node.supervisions.get(event.command.leg)
    if found is None:
        return False
    if isinstance(event.command, sm.Listen):
        node.emit(outputs.Probe(contact=found.contact, leg=found.leg))
    return True


def _timer(node: Node, event: inputs.TimerFired) -> bool:
    kind, _, rest = event.key.partition(":")
    if kind != TIMER:
        return False
    what, _, leg = rest.partition("-")
    found = node.supervisions.get(leg)
    if found is None:
        return True
    if not node.link_up:
        node.timer(event.key, JOIN_MS)
    elif what == "close":
        _press_close(node, found)
    elif found.phase is Ear.ANSWERED:
        _join(node, found)
    elif found.phase is Ear.JOINING:
        _close(node, found, "failed")
    return True


def _close(node: Node, found: Supervision, reason: str) -> None:
    """End the supervisor's leg. A kill that may have missed is repeated until the leg is gone."""
    if found.phase is Ear.CLOSING:
        return
    found.phase = Ear.CLOSING
    found.end_reason = found.end_reason or reason
    found.kill_tries = 0
    node.cancel_timer(f"{TIMER}:join-{found.leg}")
    _press_close(node, found)


def _press_close(node: Node, found: Supervision) -> None:
    found.kill_tries += 1
    if found.kill_tries > CLOSE_TRIES:
        _over(node, found, "UNKNOWN")
        return
    node.emit(
        outputs.Kill(contact=found.contact, leg=found.leg, cause="NORMAL_CLEARING"),
    )
    if found.kill_tries > 1:
        node.emit(outputs.Probe(contact=found.contact, leg=found.leg))
    node.timer(f"{TIMER}:close-{found.leg}", CLOSE_MS)


def _over(node: Node, found: Supervision, cause: str) -> None:
    node.supervisions.pop(found.leg, None)
    node.cancel_timer(f"{TIMER}:join-{found.leg}", f"{TIMER}:close-{found.leg}")
    reason = found.end_reason or ("supervisor" if found.contact in node.callers else "contact")
    if found.started_at_us:
        told.ended(node, found.tenant, found, reason, cause)
        told.note_on_caller(node, found.contact)
    if found.end_reason == "wish" or found.started_at_us:
        told.answer(node, found, "ended")
    else:
        failed = f"the supervisor's phone did not take the call ({cause or reason})"
        for request in found.requests:
            node.emit(SupervisionAnswered(request=request, slug="phone-not-reached", reason=failed))
    node.line(
        "supervision_over",
        contact=found.contact,
        tenant=found.tenant,
        supervisor=found.supervisor,
        agent=found.agent,
        mode=found.mode,
        reason=reason,
        cause=cause,
        listened_ms=told.listened_ms(node, found),
    )


def listed(node: Node, event: inputs.ChannelsListed) -> None:
    """After the callers: take up supervisors' legs that were found, ask for those that were not, tell of those that are missing."""
    for found in node.supervisions.values():
        if found.leg not in event.present and not found.job_pending:
            node.emit(outputs.Probe(contact=found.contact, leg=found.leg))
    for leg in event.supervisors:
        if leg.leg not in node.gone_legs and leg.leg not in node.supervisions:
            _found(node, leg)
    for caller in event.callers:
        for name in caller.supervisions:
            if name not in event.present and name not in node.supervisions:
                lost = Supervision(
                    leg=name, tenant=caller.tenant, contact=caller.leg, supervisor="", mode="", phase=Ear.CLOSING
                )  # fmt: skip
                told.ended(node, caller.tenant, lost, "unseen", "UNSEEN")


def _found(node: Node, leg: SupervisorLeg) -> None:
    found = Supervision(
        leg=leg.leg,
        tenant=leg.tenant,
        contact=leg.contact,
        supervisor=leg.supervisor,
        mode=leg.mode,
        phase=Ear.ANSWERED if leg.answered else Ear.RINGING,
        agent=leg.agent,
        target=leg.target,
        seq=leg.seq,
        started_at_us=leg.started_ms * 1000,
        reported_mode=leg.first_mode,
        first_mode=leg.first_mode if leg.seq else "",
    )
    node.supervisions[leg.leg] = found
    if leg.contact not in node.callers:
        _close(node, found, "contact")
    elif leg.seq and leg.joined == leg.seq:
        found.phase = Ear.LISTENING
        told.started(node, found)
        told.mode_changed(node, found, "system")
        caller = node.callers[leg.contact]
        if (talking := _talking(node, caller)) is not None and talking.leg != leg.target:
            _join(node, found)
    elif leg.answered:
        _join(node, found)


def restarted(node: Node) -> None:
    """The FreeSWITCH that had the legs is no more."""
    for found in list(node.supervisions.values()):
        found.end_reason = found.end_reason or "contact"
        _over(node, found, "SWITCH_RESTARTED")


_HANDLERS: dict[type[inputs.Input], Callable[[Node, Any], bool]] = {
    sm.SuperviseWished: _wished,
    sm.ModeKeyed: _keyed,
    sm.LegOverheard: _overheard,
    inputs.LegCreated: _created,
    inputs.LegRinging: _ringing,
    inputs.LegAnswered: _answered,
    inputs.LegHungUp: _hung_up,
    inputs.LegProbed: _probed,
    inputs.JobEnded: _job_ended,
    inputs.CommandFailed: _failed,
    inputs.TimerFired: _timer,
}
