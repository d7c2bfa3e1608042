"""A caller between ivr and the dialplan.

When ivr lets a call go, FreeSWITCH takes up to 20 ms until the dialplan goes on (the channel's media clock). Routing need not wait for
that: ivr says at once that the caller waits, and the agent's phone may ring. Only the caller's own leg must not be touched
before the dialplan has it: a transfer or a bridge that meets the end of the application ``socket`` leaves the leg silent in CS_RESET
(mod_event_socket.c, listener_run, sets that state without a look at what else is under way), and what we write into
``cc_state`` the dialplan would write over. So commands about that leg are held back, in their order, until ``peyvand::waiting``
says that the dialplan has gone on. It always comes: when ivr dies, ``socket_resume`` leads there as well.

This is haste, not truth: a word of ivr that is lost, or comes to no owner, costs 20 ms, for the dialplan's own follows.
"""

from __future__ import annotations

from services.queue.core.legs import CallerLeg
from services.queue.core.node import Node
from services.queue.core.outputs import Bridge, Command, Kill, Output, Probe, SetVars
from services.queue.core.records import Caller
from services.queue.core.treatment import adopt

# A frozen ivr may not let go: then the commands go out, and take the leg out of its hands.
ARRIVES_MS = 1_000


def handed_over(node: Node, leg: CallerLeg, *, recovered: bool = False) -> Caller | None:
    """Take a caller whom ivr lets go; None when it is known, or gone, or no center serves it."""
    if leg.leg in node.callers or leg.leg in node.customers or leg.leg in node.gone_legs:
        return None
    caller = adopt(node, leg, recovered=recovered or bool(leg.waiting_ms))
    if caller is not None:
        node.arriving[leg.leg] = []
        node.timer(f"arrive:{leg.leg}", ARRIVES_MS)
    return caller


def arrived(node: Node, contact: str) -> bool:
    """The dialplan has the leg, or time is up: send what was held back. False when nothing was."""
    held = node.arriving.pop(contact, None)
    if held is None:
        return False
    node.cancel_timer(f"arrive:{contact}")
    node.emit(*held)
    return True


def hold_back(node: Node, outputs: list[Output]) -> list[Output]:
    """Take the commands about arriving legs out of what is to be done."""
    for contact in [contact for contact in node.arriving if contact not in node.callers]:
        del node.arriving[contact]  # It has hung up.
    return [output for output in outputs if not _held(node, output)]


def _held(node: Node, output: Output) -> bool:
    if not isinstance(output, Command) or (held := node.arriving.get(output.contact)) is None:
        return False
    touches = output.leg == output.contact or isinstance(output, Bridge)
    if not touches or isinstance(output, Kill | Probe):
        return False
    if isinstance(output, SetVars) and all(name != "cc_state" for name, _ in output.values):
        return False
    held.append(output)
    return True
