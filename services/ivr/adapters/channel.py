"""FreeSWITCH's channel to and from the core: what a call is, what its events mean, how outputs are written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from services.center import prompt_file
from services.center.model import Center
from services.center.numbers import file_string
from services.center.sayings import say
from services.common.esl import Event, neutralise
from services.ivr.core import model as core

# What the application playback answers when there was nothing to hear (mod_dptools.c, playback_function).
BEEP = "tone_stream://%(400,100,1000)"
_SILENCE_LEVEL = 200
"""Below it nobody speaks (mod_dptools record: the average of the samples, 0 to 32767)."""
_NOT_HEARD = ("FILE NOT FOUND", "PLAYBACK ERROR")


@dataclass(frozen=True)
class Conversation:
    """What a caller has just had, and is asked about."""

    flow: str
    """That asks."""
    queue: str
    agent: str
    offer: str
    language: str


NO_CONVERSATION = Conversation("", "", "", "", "")


def conversation_of(channel: Event) -> Conversation | None:
    """The conversation after which this leg comes back to ivr; None for a leg that comes for the first time."""
    if channel.variable("cc_state") != "survey":
        return None
    return Conversation(
        flow=channel.variable("cc_survey"),
        queue=channel.variable("cc_queue"),
        agent=channel.variable("cc_agent"),
        offer=channel.variable("cc_offer"),
        language=channel.variable("cc_language"),
    )


@dataclass(frozen=True)
class Leg:
    """The call as FreeSWITCH described it when it handed it to us."""

    contact_id: str
    node: str
    entry: str
    caller: str
    caller_name: str
    agent_extension: str
    """The phone that dialled, for calls from agents; empty for calls from outside."""
    dialled: bool = False
    """An agent's phone dialled a number, and nobody has looked yet whose it is."""
    answered: bool = True
    """False: the dialplan has left it to the flow."""

    @property
    def is_feature_code(self) -> bool:
        return self.entry.startswith("*")


def leg_of(channel: Event) -> Leg:
    """Read the reply to ``connect``. A dialplan that set no variables of ours still makes a usable call."""
    caller = channel.get("Caller-Caller-ID-Number")
    return Leg(
        contact_id=channel.variable("cc_contact") or channel.unique_id,
        node=channel.variable("cc_node") or channel.get("FreeSWITCH-Switchname") or "unknown",
        entry=channel.variable("cc_entry") or channel.get("Caller-Destination-Number"),
        # Withheld numbers arrive as words such as "anonymous": no number, so none is stored or read out.
        caller=caller if caller.removeprefix("+").isdigit() else "",
        caller_name=channel.get("Caller-Caller-ID-Name"),
        agent_extension=channel.variable("cc_agent_ext"),
        dialled=channel.variable("cc_state") == "dialled",
        answered=channel.get("Answer-State") not in ("ringing", "early"),
    )


def claim(leg: Leg, center: Center, started_ms: int) -> dict[str, str]:
    """Return the variables that say who serves the call, for CDRs and for whoever takes over.

    ``presence_data`` shows in ``show channels`` from the next application on (CHANNEL_EXECUTE in switch_core_sqldb.c).
    """
    return {
        "cc_tenant": center.tenant,
        "cc_revision": center.revision,
        "cc_started_ms": str(started_ms),
        "presence_data": f"c/{center.tenant}/{leg.contact_id}",
    }


# Queue hears of the caller by this event, at once; the dialplan's own word follows when the channel's clock lets it.
HANDED_OVER = "peyvand::handover"
_OF_THE_CHANNEL = (
    "Caller-Caller-ID-Number",
    "Caller-Caller-ID-Name",
    "Caller-Destination-Number",
    "Answer-State",
)
# What queue does not ask for: FreeSWITCH reads a command byte by byte, and lets others go first after each one.
_UNASKED = ("variable_cc_state", "variable_cc_contact", "variable_cc_node")


def hand_over(leg: Leg, center: Center, output: core.HandOver, started_ms: int) -> dict[str, str]:
    """Return the variables by which ``queue`` learns everything. Empty values are left out."""
    values = {
        "cc_state": "handover",
        "cc_tenant": center.tenant,
        "cc_revision": center.revision,
        "cc_started_ms": str(started_ms),
        "cc_queue": output.queue,
        "cc_priority": str(output.priority),
        "cc_skills": " ".join(output.skills),
        "cc_language": output.language,
        "cc_customer": output.customer,
        "cc_class": output.service_class,
        "cc_preferred_agent": output.preferred_agent,
        "cc_wish": "callback" if output.callback else "",
        "cc_survey": output.survey,
        "cc_preferred_ms": str(output.preferred_ms) if output.preferred_ms else "",
        "cc_no_answer": output.no_answer,
    }
    return {name: value for name, value in values.items() if value}


def handed_over(channel: Event, values: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of HANDED_OVER: what ``peyvand::waiting`` will say of the call, as far as it is known here."""
    # A caller's name may hold whatever its phone sent, a line's end too: that costs the name some characters, and not the caller the menu.
    known = {name: neutralise(channel.get(name)) for name in _OF_THE_CHANNEL}
    for name in channel.headers:
        if name.startswith("variable_cc_"):
            known[name] = neutralise(channel.get(name))
    known |= {f"variable_{name}": value for name, value in values.items()}
    known["Answer-State"] = "answered"  # What the channel said at its beginning may be older than our answer.
    told = {name: value for name, value in known.items() if value.strip() and name not in _UNASKED}
    return {"Leg": channel.unique_id, **told}


def playback(sounds_dir: str, center: Center, output: core.PlayPrompt | core.SayText) -> str:
    """Return the argument of the application playback, empty for what cannot be said in the wanted form."""
    if isinstance(output, core.PlayPrompt):
        return prompt_file(sounds_dir, center, output.language, output.prompt)
    files = parts(sounds_dir, center, output)
    return file_string(files) if files else ""


def parts(sounds_dir: str, center: Center, output: core.SayText) -> list[str]:
    """Return the files that say a text, in order; none for what cannot be said in the wanted form."""
    detail = {"money": "currency", "date": "calendar"}.get(output.form)
    more = {detail: output.detail} if detail else {}
    spoken = say(output.text, output.form, output.language, **more)
    return [prompt_file(sounds_dir, center, output.language, prompt) for prompt in spoken]


HIDE_KEYS = {"digits_dialed_filter": ".+"}
"""Of all keys of a call FreeSWITCH keeps ``digits_dialed``, which its CDR has; what this pattern matches it writes as X."""


def recorded_as(center: Center, leg: Leg, output: core.RecordMessage | core.RecordAnswer, at_us: int) -> str:
    """Return where something is recorded, relative to the recordings folder.

    The names are those by which the recording service knows what it is: ``<contact>.message.<queue>.wav`` for a message,
    ``<contact>.comment.<question>.wav`` for what is said in a survey.
    """
    day = dt.datetime.fromtimestamp(at_us // 1_000_000, dt.UTC).strftime("%Y/%m/%d")
    what = (
        f"message.{output.queue}" if isinstance(output, core.RecordMessage) else f"comment.{output.question}"
    )
    return f"{center.tenant}/{day}/{leg.contact_id}.{what}.wav"


def record_argument(path: str, output: core.RecordMessage | core.RecordAnswer) -> str:
    """Return the argument of the application record."""
    return f"{path} {output.most_s} {_SILENCE_LEVEL} {output.silence_s}"


def recorded_ms(complete: Event) -> int:
    """How much was recorded, by the CHANNEL_EXECUTE_COMPLETE of the application record."""
    text = complete.variable("record_ms")
    return int(text) if text.isascii() and text.isdigit() else 0


def heard(complete: Event) -> bool:
    """Whether the playback that this CHANNEL_EXECUTE_COMPLETE ends had anything to play."""
    return complete.get("Application-Response") not in _NOT_HEARD


def event_of(event: Event, at_us: int) -> core.Event | None:
    """Return what a channel event means to the interpreter, None for those that mean nothing."""
    if event.name == "DTMF":
        return core.KeyPressed(at_us, event.get("DTMF-Digit"))
    if event.name == "CHANNEL_BRIDGE":
        return core.TransferConnected(at_us)
    if event.name == "CHANNEL_HANGUP":
        return core.HungUp(at_us, event.get("Hangup-Cause"))
    return None
