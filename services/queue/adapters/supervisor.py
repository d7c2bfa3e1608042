"""Supervisors' legs in FreeSWITCH's words: the one command that makes them listen, and what can be read from one.

Measured on 1.10.12, for an eavesdrop on the agent's leg: ``eavesdrop_whisper_bleg`` lets the agent hear the supervisor,
``eavesdrop_whisper_aleg`` the caller; both are read when the application starts.
"""

from __future__ import annotations

from services.common.esl import Event
from services.queue.core import supervision_messages as sm
from services.queue.core.listening import BARGE, LISTEN, WHISPER, SupervisorLeg

MODE = "peyvand::supervise"
KEYS = {"1": LISTEN, "2": WHISPER, "3": BARGE}
"""What ``*`` and the key mean on the supervisor's phone, whichever leg is listened to."""

_NUMBER_MAX = 2**53


def listen_line(command: sm.Listen) -> str:
    """Return the command that sends a supervisor's leg to a call, and from then on needs nobody."""
    steps = [
        f"bind_meta_app:{key} a si event::Event-Name=CUSTOM,Event-Subclass={MODE},mode={mode}"
        for key, mode in KEYS.items()
    ]
    steps.append(f"eavesdrop:{command.target}")
    if command.then:
        # Whoever whispered to the agent must not be heard by the caller.
        steps += [
            "set:eavesdrop_whisper_aleg=false",
            "set:eavesdrop_whisper_bleg=false",
            f"set:cc_mode={LISTEN}",
            f"eavesdrop:{command.then}",
        ]
    steps.append("hangup:NORMAL_CLEARING")
    # A separator of our own: the events' headers are separated by commas.
    return f"uuid_transfer {command.leg} 'm:^:{'^'.join(steps)}' inline"


def call_variables(command: sm.CallSupervisor) -> dict[str, str]:
    """The variables in which a supervisor's leg differs from an agent's."""
    return {
        "cc_role": "supervisor",
        "cc_offer": "",
        "cc_agent": "",
        "cc_supervisor": command.agent,
        "cc_heard_agent": command.heard_agent,
        "cc_mode": command.mode,
        "cc_first_mode": command.mode,
        "presence_data": f"s/{command.tenant}/{command.contact}",
        "accountcode": command.leg,
    }


def supervisor_leg(event: Event) -> SupervisorLeg | None:
    """A supervisor's leg from ``uuid_dump``; None when it says not whose it is."""
    var = event.variable
    if not (var("cc_tenant") and var("cc_contact") and var("cc_supervisor")):
        return None
    return SupervisorLeg(
        leg=event.unique_id,
        tenant=var("cc_tenant"),
        contact=var("cc_contact"),
        supervisor=var("cc_supervisor"),
        agent=var("cc_heard_agent").strip("-"),
        mode=var("cc_mode") or LISTEN,
        first_mode=var("cc_first_mode") or LISTEN,
        answered=event.get("Answer-State") == "answered",
        seq=_number(var("cc_seq")),
        joined=_number(var("cc_joined")),
        target=var("cc_target"),
        started_ms=_number(var("cc_listens_ms")),
    )


def names(text: str) -> tuple[str, ...]:
    """The legs of those who listen to a caller, from ``cc_supervisions``."""
    return tuple(name for name in text.split(":") if name.strip("-"))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and int(text) <= _NUMBER_MAX else 0
