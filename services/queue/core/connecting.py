"""What is said between the agent's answer and the bridge: the whisper to the agent, the announcement to the caller.

Both begin at the answer and run side by side; the bridge comes when both have ended, and after ``most_ms`` whatever is still being said.

    caller   music, the announcement displaces it; ends with MEDIA_BUG_STOP
    agent    parked until originate has let go of the leg, then the prompts in a row; ends with an event that the leg itself fires

Nothing in here can keep two people apart: a prompt that is not there has ended, and so has one whose end nobody hears of (the limit). A queue
that configures nothing has no :class:`Lead`, and its bridge is made without a command more.

``cc_step`` says ``connecting`` on the caller's leg from the answer on. A new owner that finds it makes the bridge at once: whoever was told
something is not told it again. How it ends otherwise is not handled where it happens: ``review`` runs after every input and reports what was
cut short when the offer serves no longer or the caller is somewhere else.
"""

from __future__ import annotations

from bisect import bisect_right

from services.queue.core.facts import TreatmentPlayed, WhisperPlayed
from services.queue.core.inputs import WhisperEnded
from services.queue.core.legs import OUTBOUND
from services.queue.core.node import Node
from services.queue.core.outputs import StopAnnouncement, Whisper
from services.queue.core.plan import BeforeBridge, CenterPlan
from services.queue.core.records import Caller, Lead, Offer, Phase, Stage

STEP = "connecting"
PLAYED, MISSING, CUT = "played", "missing", "cut"
TRANSFERS = ("transfer", "return")


def prepare(node: Node, caller: Caller, offer: Offer) -> Lead | None:
    """Return what is to be said before this bridge; None for nothing, or when it was said before a new owner came."""
    plan = caller.queue.before_bridge
    if plan is None or caller.leg.step == STEP or offer.kind == OUTBOUND:
        return None
    language = caller.center.agent_language(offer.agent)
    waited_ms = max(0, (node.at_us - caller.waiting_since_us) // 1000)
    parts = _parts(plan, caller, offer, language, waited_ms)
    lead = Lead(
        offer=offer,
        began_at_us=node.at_us,
        files=tuple(file for _, files in parts for file in files),
        said=tuple(what for what, _ in parts),
        language=language,
        waited_ms=waited_ms,
        caller_prompt=plan.caller,
        caller_file=caller.prompt(plan.caller) if plan.caller else "",
    )
    return lead if lead.files or lead.caller_file else None


def _parts(
    plan: BeforeBridge, caller: Caller, offer: Offer, language: str, waited_ms: int
) -> list[tuple[str, tuple[str, ...]]]:
    """What the agent is told, each with the files that say it."""
    if offer.kind == "callback":
        return []  # Answered before the customer and was told then.
    center = caller.center
    found: list[tuple[str, tuple[str, ...]]] = []
    if plan.name:
        found.append(("queue", (center.prompt(plan.name, language),)))
    if plan.why and caller.called_back:
        found.append(("callback", (center.prompt("whisper-callback", language),)))
    elif plan.why and offer.kind in TRANSFERS:
        found.append(("transfer", (center.prompt("whisper-transfer", language),)))
    if plan.wait and not caller.called_back:
        found.append(("wait", _wait(center, language, waited_ms // 1000)))
    return [(what, files) for what, files in found if files and all(files)]


def _wait(center: CenterPlan, language: str, waited_s: int) -> tuple[str, ...]:
    """The longest wait that can be said and is over; nothing for one that is too short to be said."""
    waits = center.waits.get(language, {})
    steps = sorted(waits)
    at = bisect_right(steps, waited_s)
    return waits[steps[at - 1]] if at else ()


def begin(node: Node, caller: Caller, lead: Lead) -> None:
    """Start with the caller; the agent's part follows when originate has let go of the leg."""
    plan = caller.queue.before_bridge
    assert plan is not None
    node.leads[lead.offer.offer_id] = lead
    node.timer(f"lead:{lead.offer.offer_id}", plan.most_ms)
    if lead.caller_file:
        caller.announce(node, lead.caller_file)


def ready(node: Node, offer: Offer) -> bool:
    """Whether the bridge may be made now; otherwise whatever can begin has begun."""
    lead = node.leads.get(offer.offer_id)
    if lead is None:
        return True
    if offer.bridge_held:
        return False
    if lead.files and not lead.whispering_since_us:
        lead.whispering_since_us = node.at_us
        node.emit(Whisper(contact=offer.contact, leg=offer.leg, files=lead.files))
    if lead.files or lead.caller_file:
        node.cancel_timer(f"bridge:{offer.offer_id}")
        return False
    _forget(node, lead)
    offer.said_ms = max(0, (node.at_us - lead.began_at_us) // 1000)
    node.set_vars(offer.contact, offer.contact, cc_step="")
    return True


def whispered(node: Node, event: WhisperEnded) -> Offer | None:
    """The agent has heard it; return the offer when that was so."""
    offer = node.offer_on(event.leg)
    lead = node.leads.get(offer.offer_id) if offer is not None else None
    if lead is None or not lead.files or not lead.whispering_since_us:
        return None
    _report_whisper(node, lead, PLAYED if event.heard else MISSING)
    return offer


def announced(node: Node, contact: str, file: str, *, heard: bool) -> Offer | None:
    """The caller's announcement is over, or could not begin; return the offer when it was one before a bridge."""
    caller = node.callers.get(contact)
    lead = node.leads.get(caller.offer_id) if caller is not None else None
    if lead is None or lead.caller_file != file:
        return None
    _report_announcement(node, lead, PLAYED if heard else MISSING)
    return lead.offer


def overdue(node: Node, offer_id: str) -> Offer | None:
    """It has taken too long: the bridge comes now. Return its offer, if any."""
    lead = node.leads.get(offer_id)
    if lead is None:
        return None
    node.line("whisper_cut", warning=True, contact=lead.offer.contact, offer=offer_id)
    _cut(node, lead)
    return lead.offer


def review(node: Node) -> None:
    """Say no more for a bridge that will not come, or has to be made by another way."""
    for lead in list(node.leads.values()):
        offer = lead.offer
        caller = node.callers.get(offer.contact)
        if offer.phase is Phase.ANSWERED and caller is not None and caller.stage is Stage.BRIDGING:
            continue
        _forget(node, lead)
        _cut(node, lead, stop=caller is not None and caller.stage is not Stage.UNSETTLED)


def _cut(node: Node, lead: Lead, *, stop: bool = True) -> None:
    if lead.caller_file:
        if stop:
            contact = lead.offer.contact
            node.emit(StopAnnouncement(contact=contact, leg=contact, file=lead.caller_file))
            if (caller := node.callers.get(contact)) is not None and caller.announcing == lead.caller_file:
                caller.announcing = ""
        _report_announcement(node, lead, CUT)
    if lead.files:
        _report_whisper(node, lead, CUT)


def _forget(node: Node, lead: Lead) -> None:
    node.leads.pop(lead.offer.offer_id, None)
    node.cancel_timer(f"lead:{lead.offer.offer_id}")


def _report_whisper(node: Node, lead: Lead, outcome: str) -> None:
    """Report it once and have done with it."""
    offer, lead.files = lead.offer, ()
    since_us = lead.whispering_since_us
    node.report(
        offer.tenant,
        WhisperPlayed(
            offer_id=offer.offer_id,
            contact_id=offer.contact,
            agent_id=offer.agent,
            said=lead.said,
            language=lead.language,
            waited_ms=lead.waited_ms,
            outcome=outcome,
            played_ms=max(0, (node.at_us - since_us) // 1000) if since_us and outcome != MISSING else 0,
            at_us=node.at_us,
        ),
        "whispered",
        offer.offer_id,
    )


def _report_announcement(node: Node, lead: Lead, outcome: str) -> None:
    """Report it once and have done with it."""
    offer, lead.caller_file = lead.offer, ""
    node.report(
        offer.tenant,
        TreatmentPlayed(
            contact_id=offer.contact,
            what=STEP,
            prompt=lead.caller_prompt,
            outcome=outcome,
            at_us=node.at_us,
        ),
        STEP,
        offer.offer_id,
    )
