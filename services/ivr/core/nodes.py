"""A flow as the interpreter runs it: small structs, complete with calendars, skills and times in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.ivr.core.hours import Calendar
from services.ivr.core.web import Customer, Request


class Play(msgspec.Struct, frozen=True, tag=True):
    """Play prompts, go on. ``skip``: a key ends it."""

    prompts: tuple[str, ...]
    then: str
    skip: bool = False
    otherwise: str | None = None
    """Where to go when nothing could be heard; None: ``then``."""


class Say(msgspec.Struct, frozen=True, tag=True):
    """Read out a variable, or the literal itself. ``detail`` is the currency of money, the calendar of a date."""

    what: str
    form: str
    then: str
    detail: str = ""
    otherwise: str | None = None
    """Where to go when it could not be heard; None: ``then``."""


class Speak(msgspec.Struct, frozen=True, tag=True):
    """Speak a text, by language, with the values of its variables. ``skip``: a key ends it."""

    texts: Mapping[str, str]
    then: str
    otherwise: str
    skip: bool = False


class Menu(msgspec.Struct, frozen=True, tag=True):
    """Play a prompt and branch on keys; ``tries`` rounds without a match lead to ``otherwise``.

    ``answers`` names keys in the report, as a question's yes and no do. A key that is a whole choice waits ``gap_ms`` for the next
    one, where a longer choice begins with it.
    """

    prompt: str
    digits: Mapping[str, str]
    otherwise: str
    timeout_ms: int
    tries: int
    invalid: str | None = None
    gap_ms: int = 2_000
    answers: Mapping[str, str] = {}
    question: str = ""
    """Of a survey: the key is its answer, a number from ``least`` to ``most``."""
    least: int = 0
    most: int = 0


class Listen(msgspec.Struct, frozen=True, tag=True):
    """Play a prompt and branch on what the caller says or keys; ``tries`` rounds without a match lead to ``otherwise``.

    ``phrases`` are by language, then by the node that they lead to. ``interrupt``: the prompt ends when the caller begins to speak.
    ``silent``: where a caller goes who neither says nor presses anything; None: as all others who are not understood.
    """

    prompt: str
    phrases: Mapping[str, Mapping[str, tuple[str, ...]]]
    digits: Mapping[str, str]
    otherwise: str
    timeout_ms: int
    tries: int
    most_ms: int
    interrupt: bool = True
    silent: str | None = None
    invalid: str | None = None


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Play a prompt and collect digits into a variable.

    ``patterns`` are alternatives, each a tuple of the digits that may stand at each place; none: anything.
    """

    prompt: str
    into: str
    min_digits: int
    max_digits: int
    timeout_ms: int
    tries: int
    then: str
    otherwise: str
    ends_with: str = "#"
    gap_ms: int = 0
    """Between two keys; 0 is ``timeout_ms``."""
    patterns: tuple[tuple[str, ...], ...] = ()
    luhn: bool = False
    secret: bool = False
    invalid: str | None = None


class ChooseLanguage(msgspec.Struct, frozen=True, tag=True):
    """Play a prompt in every language that can be chosen, and take the caller's choice."""

    prompt: str
    digits: Mapping[str, str]
    timeout_ms: int
    tries: int
    then: str
    otherwise: str
    invalid: None = None


class Hours(msgspec.Struct, frozen=True, tag=True):
    """Branch on a calendar."""

    calendar: Calendar
    open: str
    closed: str
    emergency: str


class Branch(msgspec.Struct, frozen=True, tag=True):
    """Branch on a variable. ``between`` are whole numbers (low, high, node), both ends included."""

    variable: str
    is_: Mapping[str, str]
    begins: Mapping[str, str]
    between: tuple[tuple[int, int, str], ...]
    otherwise: str
    secret: bool = False
    """The value stays out of the report."""


class Look(msgspec.Struct, frozen=True, tag=True):
    """Branch on the state of a queue: ``then`` when one of the conditions that are given holds."""

    queue: str
    then: str
    otherwise: str
    waiting_over: int | None = None
    longest_over_ms: int | None = None
    ready_under: int | None = None


class Split(msgspec.Struct, frozen=True, tag=True):
    """Send so many of a hundred callers to each node."""

    shares: tuple[tuple[str, int], ...]


class Assign(msgspec.Struct, frozen=True, tag=True):
    """Set variables; ``$name`` is another one's value."""

    values: Mapping[str, str]
    then: str


class TakeMessage(msgspec.Struct, frozen=True, tag=True):
    """Play a prompt and record what the caller says, for a queue."""

    prompt: str
    queue: str
    most_s: int
    silence_s: int
    least_ms: int
    then: str
    otherwise: str


class TakeAnswer(msgspec.Struct, frozen=True, tag=True):
    """Play a prompt and record what the caller says to a question of a survey."""

    prompt: str
    question: str
    most_s: int
    silence_s: int
    then: str


class AskWeb(msgspec.Struct, frozen=True, tag=True):
    """Ask a web service and set variables; ``status`` has ways of their own for answers that are no failure."""

    request: Request
    then: str
    otherwise: str
    status: Mapping[int, str] = {}


class LookUp(msgspec.Struct, frozen=True, tag=True):
    """Who has the number in ``variable``. ``customers`` are by number as ``services.center.callers.normal`` writes it."""

    variable: str
    customers: Mapping[str, Customer]
    then: str
    otherwise: str
    country: str = ""
    languages: frozenset[str] = frozenset()
    """Those that the center speaks."""
    request: Request | None = None


class WishSurvey(msgspec.Struct, frozen=True, tag=True):
    """After the conversation this flow asks the caller; ``-``: none does."""

    survey: str
    then: str


class ToQueue(msgspec.Struct, frozen=True, tag=True):
    """Hand the caller over. ``callback``: the queue asks at once whether to call back."""

    queue: str
    priority: int
    skills: tuple[str, ...] = ()
    service_class: str = ""
    """``$name``: what that variable has."""
    preferred_agent: str = ""
    """As ``service_class``."""
    callback: bool = False
    preferred_ms: int = 0
    """How long the agent is waited for; 0: as the queue says."""
    no_answer: str = ""
    """As in ``ToAgent``."""


class ToAgent(msgspec.Struct, frozen=True, tag=True):
    """Hand the caller over for one agent (``$name``: whom that variable names), if the agent is there."""

    agent: str
    queue: str
    priority: int
    wait_ms: int
    away: str
    busy: str = ""
    """Empty: a busy agent is waited for."""
    no_answer: str = ""
    """Where routing sends a caller whom the agent has not taken (``voicemail:leave-message``); empty: to the others of the queue."""


class ToNumber(msgspec.Struct, frozen=True, tag=True):
    """Connect the caller to an outside number."""

    number: str
    otherwise: str | None = None


class GoTo(msgspec.Struct, frozen=True, tag=True):
    """Go on in another flow, for good."""

    flow: str


class CallFlow(msgspec.Struct, frozen=True, tag=True):
    """Go through another flow and come back; ``then`` by the name of its return."""

    flow: str
    values: Mapping[str, str]
    then: Mapping[str, str]


class Return(msgspec.Struct, frozen=True, tag=True):
    """Back to the flow that called this one."""

    name: str


class Answer(msgspec.Struct, frozen=True, tag=True):
    """Answer the call, if it is not."""

    then: str


class Hangup(msgspec.Struct, frozen=True, tag=True):
    """End the call. ``achieved`` is the result that the report has."""

    achieved: str = "done"


Listening = Menu | Listen | Ask | ChooseLanguage
"""Nodes that wait for the caller."""
Node = (
    Play
    | Say
    | Speak
    | Menu
    | Listen
    | Ask
    | ChooseLanguage
    | Hours
    | Branch
    | Look
    | Split
    | Assign
    | TakeMessage
    | TakeAnswer
    | AskWeb
    | LookUp
    | WishSurvey
    | ToQueue
    | ToAgent
    | ToNumber
    | GoTo
    | CallFlow
    | Return
    | Answer
    | Hangup
)

_KINDS = {
    Play: "play",
    Say: "say",
    Speak: "speak",
    Menu: "menu",
    Listen: "listen",
    Ask: "ask",
    ChooseLanguage: "language",
    Hours: "hours",
    Branch: "branch",
    Look: "look",
    Split: "split",
    Assign: "set",
    TakeMessage: "record",
    TakeAnswer: "comment",
    AskWeb: "http",
    LookUp: "lookup",
    WishSurvey: "survey",
    ToQueue: "queue",
    ToAgent: "agent",
    ToNumber: "transfer",
    GoTo: "flow",
    CallFlow: "call",
    Return: "return",
    Answer: "answer",
    Hangup: "hangup",
}


def kind_of(node: Node | None) -> str:
    """What a node is in reports; ``missing`` for an edge that led nowhere."""
    match node:
        case None:
            return "missing"
        case Menu() if node.answers:
            return "confirm"
        case Menu() if node.question:
            return "rate"
        case ToQueue() if node.callback:
            return "callback"
    return _KINDS[type(node)]


class Flow(msgspec.Struct, frozen=True):
    """One flow of one revision."""

    name: str
    start: str
    nodes: Mapping[str, Node]
    version: int = 1


class Plan(msgspec.Struct, frozen=True):
    """All flows that a call may come into, the one in which it begins, and what takes a caller whom they cannot serve."""

    flows: Mapping[str, Flow]
    first: str
    fallback: ToQueue | None
    """None: of a survey, after which nobody is waited for."""


class Limits(msgspec.Struct, frozen=True):
    """What bounds a call inside its flows, whatever the caller and the switch do."""

    max_steps: int = 200
    max_time_ms: int = 900_000
    look_ms: int = 2_000
    """How long an answer about a queue is waited for."""
    web_grace_ms: int = 1_000
    """How long after its own time limits the end of a request is waited for."""
    ring_ms: int = 620_000
    """How long a transfer may take to be answered or to fail: longer than two trunks may ring."""
    confirm_ms: int = 15_000
    """How long the confirmation of a hand-over is waited for."""
    understand_ms: int = 6_000
    """How long after the end of the longest answer a recogniser is waited for."""
    grace_ms: int = 15_000
    """How long after its longest time the end of a message is waited for."""
