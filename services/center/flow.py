"""Flows: what callers go through until a queue takes them or the call ends. The document's form; what must hold is in ``flow_check``.

A flow is a set of named nodes. What a node does is said by the one key that names its kind (``play: welcome``), what comes next
by its edges (``then``, ``otherwise``, ``digits`` ...), each the name of another node. Nothing is implied: a caller goes only where an
edge leads.

Variables are text and belong to the call: what a node of one flow has set, a node of another may read. ``caller``, ``entry`` (the called
number) and ``language`` are there from the beginning.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, StringConstraints, Tag, model_validator

from services.center.flow_speech import FaqNode, ListenNode, SpeakNode
from services.center.flow_survey import CommentNode, RateNode, SurveyNode
from services.center.flow_web import HttpNode, LookupNode
from services.center.waiting import Overflow
from services.center.words import (
    Key,
    Keys,
    Language,
    Number,
    Part,
    Retries,
    Skills,
    Timeout,
    Token,
    Variable,
)

Literally = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+*#_.:-]{0,64}$")]
"""What a variable is compared with; empty is a withheld number, for one."""
Value = Annotated[str, StringConstraints(pattern=r"^(\$[a-z][a-z0-9_]{0,30}|[A-Za-z0-9+*#_.:-]{0,64})$")]
"""What a variable is set to: the text itself, or what another variable has (``$customer``)."""
TokenOrVariable = Annotated[
    str, StringConstraints(pattern=r"^(\$[a-z][a-z0-9_]{0,30}|[a-z0-9][a-z0-9-]{0,62})$")
]
"""A name, or the variable that has it (``$customer_agent``); what the variable has and is no such name counts as none."""
Pattern = Annotated[str, StringConstraints(pattern=r"^([0-9x]|\[[0-9]-[0-9]\]){1,32}$")]
"""What an input looks like, key by key: a digit, ``x`` for any digit, ``[2-9]`` for one of a range."""
Range = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}-[0-9]{1,18}$")]


def _one_or_many(value: Any) -> str:
    return "<many>" if isinstance(value, list) else "<one>"


# Discriminated, so that a fault is told of the form that was written.
Prompts = Annotated[
    Annotated[Token, Tag("<one>")]
    | Annotated[list[Token], Field(min_length=1, max_length=10), Tag("<many>")],
    Discriminator(_one_or_many),
]
Patterns = Annotated[
    Annotated[Pattern, Tag("<one>")]
    | Annotated[list[Pattern], Field(min_length=1, max_length=20), Tag("<many>")],
    Discriminator(_one_or_many),
]

YES, NO = "1", "2"
"""The keys of a ``confirm`` node."""

BUILT_IN_VARIABLES = ("caller", "entry", "language")
"""Set by the call itself: the calling number (empty when withheld), the called number, the language of prompts."""


class PlayNode(Part):
    """Play one prompt or several, go on."""

    play: Prompts
    skip: bool = False
    """Whether a key ends it; the key counts for the menu that follows."""
    then: Token
    otherwise: Token | None = None
    """Nothing of it could be heard: no recording in any language, and no voice. None: ``then``."""

    @property
    def prompts(self) -> list[str]:
        """The prompts in their order."""
        return [self.play] if isinstance(self.play, str) else self.play


Form = Literal["digits", "number", "ordinal", "money", "date", "time"]
Currency = Literal["rial", "toman", "dollar", "euro"]


class SayNode(Part):
    """Read out a variable or a literal, in the caller's language. What cannot be said so (a date that there is not) is skipped."""

    say: Annotated[
        str,
        StringConstraints(
            pattern=r"^([a-z][a-z0-9_]{0,30}|[0-9]{1,18}(\.[0-9]{1,2})?|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{2}:[0-9]{2})$"
        ),
    ]
    as_: Form = Field("digits", alias="as")
    currency: Currency | None = None
    """Of money."""
    calendar: Literal["gregorian", "jalali"] | None = None
    """How a date is said, however it is written; None: Jalali in Persian, Gregorian otherwise."""
    then: Token
    otherwise: Token | None = None
    """It could not be heard: no recordings of it in any language, and no voice. None: ``then``."""

    @model_validator(mode="after")
    def _fits(self) -> SayNode:
        if (self.as_ == "money") != (self.currency is not None):
            raise ValueError("as: money and currency belong together")
        if self.calendar is not None and self.as_ != "date":
            raise ValueError("calendar is for as: date")
        return self


class MenuNode(Part):
    """Play a prompt and branch on keys. After ``retries`` more tries without a match: ``otherwise``."""

    menu: Token
    digits: Annotated[dict[Keys, Token], Field(min_length=1)]
    otherwise: Token
    timeout_s: Timeout = 5
    gap_s: Annotated[int, Field(ge=1, le=10)] | None = None
    """How long a choice waits for one more key, where a longer choice begins with it; needed exactly then."""
    retries: Retries = 2
    invalid: Token | None = None
    """Prompt after a key that leads nowhere, before the menu is played again."""


class AskNode(Part):
    """Play a prompt and collect digits into a variable; ``otherwise`` after the last try."""

    ask: Token
    into: Variable
    min_digits: Annotated[int, Field(ge=1, le=32)] = 1
    max_digits: Annotated[int, Field(ge=1, le=32)]
    ends_with: Literal["#", "*", ""] = "#"
    """The key that ends the input; the other one of the two erases it. Empty: time or ``max_digits`` end it, both erase."""
    pattern: Patterns | None = None
    """What the input must look like, or one of several."""
    luhn: bool = False
    """The last digit must be the check digit of a card number (ISO/IEC 7812)."""
    secret: bool = False
    """The digits are in no log, no fact and no CDR, and cannot be read out."""
    timeout_s: Timeout = 5
    """Until the first key."""
    gap_s: Timeout | None = None
    """Between two keys; as ``timeout_s`` when it is not given."""
    retries: Retries = 2
    invalid: Token | None = None
    """Prompt after an input that is not accepted, before the question is asked again."""
    then: Token
    otherwise: Token

    @property
    def patterns(self) -> list[str]:
        """All patterns; empty: any digits."""
        return [self.pattern] if isinstance(self.pattern, str) else self.pattern or []

    @model_validator(mode="after")
    def _range(self) -> AskNode:
        if self.max_digits < self.min_digits:
            raise ValueError("max_digits is smaller than min_digits")
        for pattern in self.patterns:
            length = len(places(pattern))
            if not self.min_digits <= length <= self.max_digits:
                raise ValueError(
                    f'pattern "{pattern}" has {length} digits, expected {self.min_digits} to {self.max_digits}'
                )
        return self


def places(pattern: str) -> list[str]:
    """The digits that may stand at each place of a pattern. Raises ValueError for a range that ends before it begins."""
    found, rest = [], pattern
    while rest:
        if rest[0] == "[":
            first, last, rest = rest[1], rest[3], rest[5:]
            if first > last:
                raise ValueError(f'pattern "{pattern}": [{first}-{last}] ends before it begins')
            found.append("0123456789"[int(first) : int(last) + 1])
        else:
            found.append("0123456789" if rest[0] == "x" else rest[0])
            rest = rest[1:]
    return found


class ConfirmNode(Part):
    """Ask a question: 1 is yes, 2 is no."""

    confirm: Token
    yes: Token
    no: Token
    otherwise: Token
    timeout_s: Timeout = 5
    retries: Retries = 2
    invalid: Token | None = None


class LanguageNode(Part):
    """Let the caller choose the language. The prompt is heard once in each language, in the order of ``digits``."""

    language: Token
    """The prompt; its text in each language names that language's key only."""
    digits: Annotated[dict[Key, Language], Field(min_length=2)]
    timeout_s: Timeout = 5
    retries: Retries = 1
    then: Token
    otherwise: Token | None = None
    """Who chooses nothing keeps the language and goes here; None: to ``then``."""


class HoursNode(Part):
    """Branch on a calendar."""

    hours: Token
    open: Token
    closed: Token
    emergency: Token | None = None
    """While the calendar's emergency switch is on; None: ``closed``."""


class BranchNode(Part):
    """Branch on a variable: on what it ``is``, what it ``begins`` with, or the range that it is ``between``."""

    branch: Variable
    is_: dict[Literally, Token] = Field({}, alias="is")
    begins: dict[Annotated[str, StringConstraints(pattern=r"^\+?[0-9*#]{1,24}$")], Token] = {}
    between: dict[Range, Token] = {}
    """Whole numbers, both ends included: ``"18-65"``."""
    otherwise: Token

    @model_validator(mode="after")
    def _some(self) -> BranchNode:
        if not (self.is_ or self.begins or self.between):
            raise ValueError("expected is, begins or between")
        for text in self.between:
            low, high = bounds(text)
            if low > high:
                raise ValueError(f'range "{text}" ends before it begins')
        return self


def bounds(text: str) -> tuple[int, int]:
    """The numbers of a range such as ``18-65``."""
    low, _, high = text.partition("-")
    return int(low), int(high)


class LookNode(Part):
    """Look at a queue: ``then`` when one of the conditions holds, else, and when nothing is known of it, ``otherwise``."""

    look: Token
    waiting_over: Annotated[int, Field(ge=0)] | None = None
    """More callers wait."""
    longest_over_s: Annotated[int, Field(ge=0)] | None = None
    """Somebody waits for longer."""
    ready_under: Annotated[int, Field(ge=1)] | None = None
    """Fewer agents are available with a phone that can be reached."""
    then: Token
    otherwise: Token

    @model_validator(mode="after")
    def _some(self) -> LookNode:
        if self.waiting_over is None and self.longest_over_s is None and self.ready_under is None:
            raise ValueError("expected waiting_over, longest_over_s or ready_under")
        return self


class SplitNode(Part):
    """Send so many of a hundred callers to each node, by chance."""

    split: Annotated[dict[Token, Annotated[int, Field(ge=1, le=100)]], Field(min_length=2)]

    @model_validator(mode="after")
    def _hundred(self) -> SplitNode:
        if (total := sum(self.split.values())) != 100:
            raise ValueError(f"the shares add up to {total}, expected 100")
        return self


class SetNode(Part):
    """Set variables. ``language`` changes the language of everything that follows."""

    set: Annotated[dict[Variable, Value], Field(min_length=1)]
    then: Token


class RecordNode(Part):
    """Ask for a message, record it after a beep, go on. It becomes a work item of the queue (``/v1/messages``)."""

    record: Token
    """The prompt that asks."""
    queue: Token
    """Whose message it is."""
    most_s: Annotated[int, Field(ge=5, le=900)] = 180
    silence_s: Annotated[int, Field(ge=2, le=30)] = 5
    """So much silence ends it; the key # does at once."""
    least_s: Annotated[int, Field(ge=0, le=30)] = 1
    """A shorter one counts as none."""
    then: Token
    otherwise: Token
    """Nothing was recorded."""


class QueueNode(Part):
    """Hand the caller over to a queue. Skills are wanted on top of the queue's own."""

    queue: Token
    priority: Annotated[int, Field(ge=-100, le=100)] | None = None
    """None takes the queue's."""
    skills: Skills = {}
    class_: TokenOrVariable | None = Field(None, alias="class")
    """The caller's class (``routing.classes``), or the variable that has it (``$customer_class``)."""
    prefer: TokenOrVariable | None = None
    """The agent to wait for first, for the queue's ``preferred_s``, or the variable that has the name."""


class AgentNode(Part):
    """Hand the caller over for one agent. Routing decides: the agent is waited for and nobody else is asked for ``wait_s``, or until the
    agent has let the phone ring; then the others of the queue are asked, or ``no_answer`` says where the caller goes.

    Whether the agent can take a call is looked at first: who is away is not waited for.
    """

    agent: TokenOrVariable
    """The agent, or the variable that has the name (``$customer_agent``)."""
    to: Token
    """The queue, which the agent serves, and in which the caller waits."""
    wait_s: Annotated[int, Field(ge=1, le=3600)] = 30
    priority: Annotated[int, Field(ge=-100, le=100)] | None = None
    """None takes the queue's."""
    busy: Token | None = None
    """Where to go when the agent talks or writes up; None: the caller waits."""
    away: Token
    """Where to go when the agent is logged out, on a break or cannot be reached, or the variable names nobody."""
    no_answer: Overflow | None = None
    """What becomes of a caller whom the agent has not taken: after ``wait_s``, a ring in vain, a refusal, a phone that was busy, or an agent who
    went away meanwhile. Then nobody else is asked. None: the others of the queue are."""


class CallbackNode(Part):
    """Hand the caller over to a queue and ask at once whether to be called back; whoever does not want it waits there."""

    callback: Token
    priority: Annotated[int, Field(ge=-100, le=100)] | None = None
    skills: Skills = {}


class TransferNode(Part):
    """Connect the caller to an outside number; ``otherwise`` when nobody answers there (else the fallback queue)."""

    transfer: Number
    otherwise: Token | None = None


class FlowNode(Part):
    """Go on in another flow, for good."""

    flow: Token


class CallNode(Part):
    """Go through another flow and come back by the name with which it returns."""

    call: Token
    with_: dict[Variable, Value] = Field({}, alias="with")
    """What the flow ``takes``."""
    then: Annotated[dict[Token, Token], Field(min_length=1)]
    """Where to go by the name of its return; each that it has."""


class ReturnNode(Part):
    """The end of a flow that others call, by this name."""

    return_: Token = Field(alias="return")


class AnswerNode(Part):
    """Answer the call. Only where the dialplan has not (``CC_EARLY``): until then what is played is early media, and the carrier bills
    nothing. Every node that needs the caller's keys or voice, a queue or a number outside answers by itself.
    """

    answer: Literal[True]
    then: Token


class HangupNode(Part):
    """End the call."""

    hangup: Literal[True]
    as_: Token | None = Field(None, alias="as")
    """What was achieved, for the reports: ``balance-told``. None: ``done``."""


_NODES: tuple[tuple[str, type[Part]], ...] = (
    ("play", PlayNode),
    ("say", SayNode),
    ("speak", SpeakNode),
    ("listen", ListenNode),
    ("faq", FaqNode),
    ("menu", MenuNode),
    ("ask", AskNode),
    ("confirm", ConfirmNode),
    ("language", LanguageNode),
    ("hours", HoursNode),
    ("branch", BranchNode),
    ("look", LookNode),
    ("split", SplitNode),
    ("set", SetNode),
    ("http", HttpNode),
    ("lookup", LookupNode),
    ("rate", RateNode),
    ("comment", CommentNode),
    ("survey", SurveyNode),
    # Before queue: a message is for one.
    ("record", RecordNode),
    ("queue", QueueNode),
    ("agent", AgentNode),
    ("callback", CallbackNode),
    ("transfer", TransferNode),
    ("flow", FlowNode),
    ("call", CallNode),
    ("return", ReturnNode),
    ("answer", AnswerNode),
    ("hangup", HangupNode),
)
NODE_KINDS = tuple(kind for kind, _ in _NODES)
_KIND_OF = {model: kind for kind, model in _NODES}


def kind_of(node: Part) -> str:
    """What a node is: ``play``, ``menu`` ..."""
    return _KIND_OF[type(node)]


def _kinds(value: dict[str, Any]) -> list[str]:
    """The kinds that a mapping names. The queue of a message is no kind of its own."""
    found = [kind for kind in NODE_KINDS if kind in value]
    return [kind for kind in found if not (kind == "queue" and "record" in found)]


def _kind(value: Any) -> str:
    """Tag of a node; ambiguity and absence are told apart by ``_node`` before this is asked."""
    return f"<{kind_of(value) if isinstance(value, Part) else _kinds(value)[0]}>"


def _node(value: Any) -> Any:
    if isinstance(value, Part):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"expected a mapping with one of {', '.join(NODE_KINDS)}")
    kinds = _kinds(value)
    if len(kinds) != 1:
        raise ValueError(
            f"expected exactly one of {', '.join(NODE_KINDS)}; found {', '.join(kinds) or 'none'}"
        )
    return value


AnyNode = (
    PlayNode
    | SayNode
    | SpeakNode
    | ListenNode
    | FaqNode
    | MenuNode
    | AskNode
    | ConfirmNode
    | LanguageNode
    | HoursNode
    | BranchNode
    | LookNode
    | SplitNode
    | SetNode
    | HttpNode
    | LookupNode
    | RateNode
    | CommentNode
    | SurveyNode
    | RecordNode
    | QueueNode
    | AgentNode
    | CallbackNode
    | TransferNode
    | FlowNode
    | CallNode
    | ReturnNode
    | AnswerNode
    | HangupNode
)
Node = Annotated[
    Annotated[PlayNode, Tag("<play>")]
    | Annotated[SayNode, Tag("<say>")]
    | Annotated[SpeakNode, Tag("<speak>")]
    | Annotated[ListenNode, Tag("<listen>")]
    | Annotated[FaqNode, Tag("<faq>")]
    | Annotated[MenuNode, Tag("<menu>")]
    | Annotated[AskNode, Tag("<ask>")]
    | Annotated[ConfirmNode, Tag("<confirm>")]
    | Annotated[LanguageNode, Tag("<language>")]
    | Annotated[HoursNode, Tag("<hours>")]
    | Annotated[BranchNode, Tag("<branch>")]
    | Annotated[LookNode, Tag("<look>")]
    | Annotated[SplitNode, Tag("<split>")]
    | Annotated[SetNode, Tag("<set>")]
    | Annotated[HttpNode, Tag("<http>")]
    | Annotated[LookupNode, Tag("<lookup>")]
    | Annotated[RateNode, Tag("<rate>")]
    | Annotated[CommentNode, Tag("<comment>")]
    | Annotated[SurveyNode, Tag("<survey>")]
    | Annotated[RecordNode, Tag("<record>")]
    | Annotated[QueueNode, Tag("<queue>")]
    | Annotated[AgentNode, Tag("<agent>")]
    | Annotated[CallbackNode, Tag("<callback>")]
    | Annotated[TransferNode, Tag("<transfer>")]
    | Annotated[FlowNode, Tag("<flow>")]
    | Annotated[CallNode, Tag("<call>")]
    | Annotated[ReturnNode, Tag("<return>")]
    | Annotated[AnswerNode, Tag("<answer>")]
    | Annotated[HangupNode, Tag("<hangup>")],
    Discriminator(_kind),
    BeforeValidator(_node),
]


class Flow(Part):
    """What callers go through until a queue takes them or the call ends."""

    version: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Counted by whoever edits it (over HTTP by itself), and said in the facts of its calls."""
    language: Language | None = None
    """In which callers begin whose entry point names none."""
    takes: list[Variable] = []
    """What a flow that calls this one must set (``with``)."""
    start: Token
    nodes: Annotated[dict[Token, Node], Field(min_length=1)]
