"""What is told of somebody who listens in: facts, the answer to the wish, and a note on the caller's leg."""

from __future__ import annotations

from services.queue.core.listening import Supervision, SupervisionAnswered
from services.queue.core.node import Node
from services.queue.core.supervision_facts import SupervisionChanged, SupervisionEnded, SupervisionStarted


def started(node: Node, found: Supervision) -> None:
    found.reported_mode = found.first_mode
    node.report(
        found.tenant,
        SupervisionStarted(
            supervision_id=found.leg,
            contact_id=found.contact,
            supervisor=found.supervisor,
            agent_id=found.agent,
            mode=found.first_mode,
            at_us=found.started_at_us,
        ),
        "supervision-started",
        found.leg,
    )


def mode_changed(node: Node, found: Supervision, by: str) -> None:
    if found.mode == found.reported_mode:
        return
    former, found.reported_mode = found.reported_mode, found.mode
    node.report(
        found.tenant,
        SupervisionChanged(
            supervision_id=found.leg,
            contact_id=found.contact,
            supervisor=found.supervisor,
            agent_id=found.agent,
            mode=found.mode,
            former_mode=former,
            by=by,
            at_us=node.at_us,
        ),
        "supervision-changed",
        f"{found.leg}.{found.seq}.{found.mode}",
    )


def note_on_caller(node: Node, contact: str) -> None:
    """Write on the caller's leg who listens, for an owner who finds one of them gone."""
    names = [s.leg for s in node.supervisions.values() if s.contact == contact and s.started_at_us]
    if contact in node.callers:
        node.set_vars(contact, contact, cc_supervisions=":".join(names) or "-")


def listened_ms(node: Node, found: Supervision) -> int:
    return max(0, node.at_us - found.started_at_us) // 1000 if found.started_at_us else 0


def ended(node: Node, tenant: str, found: Supervision, reason: str, cause: str) -> None:
    node.report(
        tenant,
        SupervisionEnded(
            supervision_id=found.leg,
            contact_id=found.contact,
            supervisor=found.supervisor,
            reason=reason,
            cause=cause,
            listened_ms=listened_ms(node, found),
            at_us=node.at_us,
        ),
        "supervision-ended",
        found.leg,
    )


def answer(node: Node, found: Supervision, state: str) -> None:
    requests, found.requests = found.requests, []
    for request in requests:
        node.emit(
            SupervisionAnswered(
                request=request,
                supervision=found.leg,
                contact=found.contact,
                supervisor=found.supervisor,
                agent=found.agent,
                mode=found.mode,
                state=state,
            )
        )


# ------------------------------------------------------------------------------------------------------- the truth
