"""A waiting caller's line goes on at another node: it is taken over inside its SIP dialog, and the carrier is asked nothing but what SIP demands of it.

The other node sends a re-INVITE with the dialog's Call-ID and tags, its own Contact and its own media address. That is what a standby of FreeSWITCH
does for the calls of a dead one (``sofia recover``); here it is done for one call, of a node that lives. RFC 3261 makes it safe both ways
(services/adr/0039 has the measurements):

* refused, or never answered (12.2.1.2, 14.1): the dialog is what it was, and the caller goes on hearing music here;
* accepted (12.2.1.1): requests and sound go to the new Contact. What is left here is ended, and its BYE has to be refused (12.2.2), for its CSeq is
  lower than the re-INVITE's; ``cseq_of`` is above what a UA begins with, and higher each time.

::

    here                                        there                                     routing
    WAITING -> MOVING, SendLine      ------>    LineOffered, TakeLine (re-INVITE, 25 ms)
                                                the dialplan: peyvand::waiting, cc_state=moved
    LineSent(taken)                  <------    LineAnswered
                                                AskContact, adopted, ContactWaiting       ContactMoved
    ContactMoved: the leg here is let go, silently

An answer that gets lost is asked for again: the other node says that it has the caller, or refuses, for the carrier refuses the same
number twice. A caller who hangs up before the other node knows who it is has left: nobody else would say so (``over``).
"""

from __future__ import annotations

from services.queue.core.causes import cause_of
from services.queue.core.facts import ContactGone
from services.queue.core.inputs import JobEnded, LineOffered, LineSent
from services.queue.core.node import Node
from services.queue.core.outputs import Kill, LineAnswered, SendLine, TakeLine
from services.queue.core.records import Arrival, Caller, Stage
from services.queue.core.treatment import announce_waiting, leave

JOB = "line:"  # What the jobs of lines that are taken over are named, before the contact.
RING_MS = 5_000  # A re-INVITE makes nobody ring: it is answered at once or not at all.
AGAIN_MS = 1_000
NOT_TAKEN = "not-taken"  # The re-INVITE failed; a former one may have been accepted all the same.
TRIES = 30
HERE_MS = (
    60_000  # So long after the line was taken routing must have heard of it; then it is asked for again.
)

_CSEQ_FLOOR = (
    2**30
)  # UAs begin below 2**31; sofia-sip below 2**27. Both ends fit below 2**31, which is the most that there may be.
_EPOCH_S = 1_700_000_000


_REQUESTS = 1_000
"""As many requests of its own a node may send in a dialog that it has taken over."""


def cseq_of(at_us: int, former: int = 0) -> int:
    """The number of the re-INVITE of a move that began then: higher than whatever this node has sent in the dialog or may send at its end.

    ``former``: that of the re-INVITE by which the line came here. Seconds alone do not do: a line that moved on within the second had the
    same number, the former node's BYE the next one, and the carrier hung up (measured on 1.10.12).
    """
    by_time = _CSEQ_FLOOR + (at_us // 1_000_000 - _EPOCH_S) % _CSEQ_FLOOR
    return min(max(by_time, former + _REQUESTS if former else 0), 2**31 - 1)


# --- here -------------------------------------------------------------------------------------------------------------


def send(node: Node, caller: Caller) -> None:
    """Offer the line to the node to which the caller is to move, once more if need be."""
    node.emit(
        SendLine(
            contact=caller.contact,
            leg=caller.contact,
            tenant=caller.tenant,
            node=caller.moving_to,
            move=caller.moving_since_us,
        )
    )


def sent(node: Node, event: LineSent) -> str:
    """What the other node said. Return why the caller stays; empty while it is on the way."""
    caller = node.callers.get(event.contact)
    if caller is None or caller.stage is not Stage.MOVING:
        return ""
    if event.taken:
        caller.line_taken = True
        node.timer(f"move:{caller.contact}", HERE_MS)
    elif event.taken is None and caller.move_asks < TRIES:
        node.timer(f"move:{caller.contact}", AGAIN_MS)
    else:
        if event.taken is False and event.reason != NOT_TAKEN:
            caller.moved_to = ""  # Nothing was sent to the carrier: the line cannot be there.
        return event.reason or "NO_ANSWER"
    return ""


def ask_again(node: Node, caller: Caller) -> None:
    """No answer, or routing has heard nothing of a line that was taken."""
    caller.move_asks += 1
    node.timer(f"move:{caller.contact}", HERE_MS)
    send(node, caller)


def closed_there(node: Node, caller: Caller) -> bool:
    """Routing is done with a contact that is on the way: it ended there. Return whether the leg that is left here was let go."""
    if caller.stage is not Stage.MOVING or not caller.line_taken:
        return False
    leave(node, caller, "leaving")
    node.cancel_timer(f"move:{caller.contact}")
    caller.gone_reported = True
    node.emit(Kill(contact=caller.contact, leg=caller.contact, cause="BLIND_TRANSFER"))
    return True


# --- there ------------------------------------------------------------------------------------------------------------


def offered(node: Node, event: LineOffered) -> None:
    """Take over the line of another node's caller."""

    def refuse(slug: str, reason: str) -> None:
        node.emit(LineAnswered(request_id=event.request_id, contact=event.contact, slug=slug, reason=reason))

    if event.contact in node.callers or event.contact in node.arrivals:
        caller = node.callers.get(event.contact)
        if caller is not None and caller.stage is Stage.WAITING:
            # Who asks does not know it: routing may have been told so by an owner who did not either. The last word has to be ours.
            caller.again += 1
            announce_waiting(node, caller, f"{caller.leg.arrived}-{caller.again}-{node.at_us // 1000}")
        node.emit(LineAnswered(request_id=event.request_id, contact=event.contact))
    elif node.drain is not None or not node.link_up:
        refuse("node-not-available", f"{node.name} is being emptied, or not connected")
    elif not any(center.tenant == event.tenant for center in node.plans.centers):
        refuse("unknown-tenant", f"{node.name} has no center document of {event.tenant}")
    elif event.contact in node.lines_asked:
        node.lines_asked[event.contact].append(event.request_id)
    else:
        node.lines_asked[event.contact] = [event.request_id]
        node.emit(
            TakeLine(
                contact=event.contact,
                leg=event.leg,
                offer=f"{JOB}{event.contact}",
                tenant=event.tenant,
                line=event.line,
                cseq=event.cseq,
                ring_ms=RING_MS,
            )
        )


def job_ended(node: Node, event: JobEnded) -> None:
    """The re-INVITE was answered, or will not be. Who is here is learnt from the dialplan, as of whoever comes."""
    contact = event.offer.removeprefix(JOB)
    cause = cause_of(event.text) or event.text[:80]
    node.line("line_offered", contact=contact, taken=event.ok, cause="" if event.ok else cause)
    for request in node.lines_asked.pop(contact, []):
        if event.ok:
            node.emit(LineAnswered(request_id=request, contact=contact))
        else:
            node.emit(
                LineAnswered(
                    request_id=request,
                    contact=contact,
                    slug=NOT_TAKEN,
                    reason=cause,
                    known=event.known,
                )
            )


def over(node: Node, contact: str, arrival: Arrival, cause: str) -> None:
    """The caller hung up before routing has said who it is. There is no other line on which it could still be waiting."""
    gone = ContactGone(contact_id=contact, state="waiting", cause=cause, wait_ms=0, at_us=node.at_us)
    node.report(arrival.leg.tenant, gone, "gone", "0")
