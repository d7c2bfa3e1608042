"""The center document: everything that one tenant configures, as typed, frozen, strict models.

The document is YAML (``services.center.load``). These models check form only: types, ranges, patterns. What needs the
whole document (references, loops, missing prompts) is in ``services.center.check``. Durations are whole seconds with
the suffix ``_s``. Names by which one thing refers to another are tokens (``[a-z0-9-]``), so they can stand in channel
variables and bus subjects without escaping. The small types are in ``words``, the nodes of flows in ``flow``, what callers
hear in a queue and how they leave it in ``waiting``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from services.center.callback import Callback
from services.center.flow import Flow
from services.center.flow_speech import Speech
from services.center.flow_survey import QueueSurvey
from services.center.pins import Login, PinHash
from services.center.reports import Reports, Tariffs
from services.center.rights import CallRights, CenterCalls
from services.center.skills import parse
from services.center.trunks import Route, Trunk
from services.center.waiting import (
    AnnouncePosition,
    AnnounceWait,
    BeforeBridge,
    Closing,
    Farewell,
    Key,
    LeaveMessage,
    MaxWait,
    Messages,
    NoAgent,
    Overflow,
    Voicemail,
)
from services.center.web import CustomerLookup, Customers, WebService
from services.center.words import (
    DAYS,
    Day,
    DayKey,
    EntryNumber,
    Extension,
    Language,
    Music,
    Number,
    OutsideNumber,
    Part,
    Period,
    Seconds,
    Skill,
    Skills,
    SoundsFolder,
    Text,
    Token,
    YearlyDay,
    Zone,
    minutes,
    period,
    weekdays,
    yearly,
)

__all__ = [
    "DAYS",
    "Closing",
    "Day",
    "Farewell",
    "Flow",
    "LeaveMessage",
    "Messages",
    "Overflow",
    "minutes",
    "period",
    "weekdays",
    "yearly",
]


class Calendar(Part):
    """When a center is open. Dates and times are those of ``timezone`` (the center's when it is not given)."""

    timezone: Zone | None = None
    open: dict[DayKey, list[Period]]
    closed_on: list[Day] = []
    closed_yearly: list[YearlyDay] = []
    """Days on which it is closed every year: ``12-25``, ``jalali 01-01``. A day under ``special`` has its own hours all the same."""
    emergency: bool = False
    """The emergency switch: closed now, whatever the hours say; flows may have a way of its own for it."""
    special: dict[Day, Annotated[list[Period], Field(min_length=1)]] = {}
    """Days with hours of their own, whatever weekday they are."""


class Named(Part):
    """A code that agents or reports use, with its name by language."""

    code: Token
    name: Text


def _expression(text: str) -> str:
    parse(text)
    return text


class SkillStep(Part):
    """What an agent must be able to do at first; after ``for_s`` the next step holds, after the last one nothing."""

    skills: Annotated[str, AfterValidator(_expression)]
    """For example ``billing>=3 and (lang.fa or lang.en>=2)``; see ``services.center.skills``."""
    for_s: Seconds


class WrapUp(Part):
    """The work after a conversation.

    * ``timed``: ``wrap_up_s``, ended sooner by the agent.
    * ``timed_no_exit``: ``wrap_up_s``, whatever the agent does; a result is kept until then.
    * ``mandatory``: until the agent ends it, ``max_s`` at most.
    * ``optional``: none, unless the agent asks for it during the conversation.

    A wrap-up that ends by time without a result gets the code ``timeout``.
    """

    mode: Literal["timed", "timed_no_exit", "mandatory", "optional"] = "timed"
    max_s: Annotated[int, Field(ge=1, le=3600)] = 900
    """The longest wrap-up: of ``mandatory``, and of one that the agent extends."""
    result: Literal["optional", "required"] = "optional"
    """Whether the agent may end it without a disposition."""


Strategy = Literal[
    "longest_idle",
    "round_robin",
    "least_occupied",
    "fewest_contacts",
    "ring_all",
    "linear",
    "random_weighted",
]


class BreakReason(Named):
    """Why an agent is on a break. Longer than ``limit_s`` is shown on the wallboard; nothing is enforced."""

    limit_s: Seconds = 900
    key: Annotated[str, Field(pattern=r"^[0-9]$")] | None = None
    """``*24`` and this digit, dialled by an agent, is a break for this reason."""


Percent = Annotated[float, Field(ge=0, le=100)]


class PercentBounds(Part):
    """From when on a percentage is to be watched, and when somebody should act."""

    watch: Percent
    act: Percent


class CountBounds(Part):
    """From when on a number is to be watched, and when somebody should act."""

    watch: Annotated[int, Field(ge=1)]
    act: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _order(self) -> CountBounds:
        if self.act < self.watch:
            raise ValueError("act is smaller than watch")
        return self


class Targets(Part):
    """When the wallboard asks for attention to a queue. Nothing in routing depends on it."""

    service_level_pct: PercentBounds = PercentBounds(watch=80, act=70)
    """Below these; ``watch`` is the target that is shown."""
    abandoned_pct: PercentBounds = PercentBounds(watch=5, act=8)
    """At these and above."""
    waiting: CountBounds = CountBounds(watch=5, act=8)
    longest_wait_s: CountBounds | None = None
    """Three and six times ``service_level_s`` when it is not given."""
    no_idle_s: CountBounds = CountBounds(watch=60, act=180)
    """So long somebody has waited without any idle agent."""

    @model_validator(mode="after")
    def _order(self) -> Targets:
        if self.service_level_pct.act > self.service_level_pct.watch:
            raise ValueError("service_level_pct: act is larger than watch; less is worse here")
        if self.abandoned_pct.act < self.abandoned_pct.watch:
            raise ValueError("abandoned_pct: act is smaller than watch")
        return self


class Queue(Part):
    """A queue: who may serve it, what callers hear, how offers and overflow behave."""

    name: Text
    skills: Skills = {}
    """Skills an agent needs, with the least level, for as long as a contact is in the queue."""
    steps: Annotated[list[SkillStep], Field(max_length=6)] = []
    """What is asked on top of that for a while, step by step; afterwards any agent of the queue will do."""
    caller_skills_for_s: Seconds | None = None
    """How long a caller's own skills (of the flow) are insisted on; None is for ever."""
    strategy: Strategy = "longest_idle"
    """How the agent is chosen from those who are free and fit; see ``services/routing/core/pools.py``."""
    ring_at_once: Annotated[int, Field(ge=2, le=10)] | None = None
    """How many phones ring at the same time; with ``ring_all`` only, 5 when it is not given."""
    preferred_s: Annotated[int, Field(ge=1, le=3600)] | None = None
    """How long a caller waits for the agent whom the flow prefers, as long as that agent is there."""
    music: Music | Literal["ringing"] = "local_stream://moh"
    """A stream, or ``ringing``: the tone of a phone that rings."""
    welcome: Token | None = None
    announce_position: AnnouncePosition | None = None
    announce_wait: AnnounceWait | None = None
    messages: Annotated[list[Messages], Field(max_length=5)] = []
    """Adverts and information while waiting, each list with its own times."""
    keys: dict[Key, Overflow] = {}
    """Ways out that a waiting caller takes by a key, when no agent is just about to be connected."""
    return_s: Annotated[int, Field(ge=0, le=3600)] = 0
    """A caller who hangs up while waiting and calls again within this time gets the old place, once; 0 is never."""
    ring_s: Annotated[int, Field(ge=5, le=120)] = 20
    service_level_s: Seconds = 20
    short_abandon_s: Annotated[int, Field(ge=0, le=60)] = 5
    max_wait: MaxWait | None = None
    wrap_up_s: Annotated[int, Field(ge=0, le=3600)] = 20
    wrap_up: WrapUp = WrapUp()
    dispositions: list[Token] = []
    """Results that a contact of this queue may have; empty: all of the center."""
    recording: bool = False
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    max_length: Annotated[int, Field(ge=0)] = 0
    """Most contacts that may wait; 0 is no limit. Above it a new contact takes ``full`` at once, else ``max_wait.then``."""
    full: Overflow | None = None
    no_agent: NoAgent | None = None
    """The way out when nobody serves the queue; None: callers wait."""
    closing: Closing | None = None
    """None: callers who are in the queue stay in it, whatever the hour."""
    callback: Callback | None = None
    """None: nobody is called back."""
    before_bridge: BeforeBridge | None = None
    """None: agent and caller are joined as soon as the agent has answered."""
    caller_id: Number | None = None
    """The number that is shown when an agent calls for this queue; None: the agent's, the team's or the center's."""
    survey: QueueSurvey | None = None
    """What callers are asked after the conversation; None: nothing, unless their flow has said so."""
    targets: Targets = Targets()

    @property
    def wrap_up_limit_s(self) -> int:
        """How long a wrap-up may last that the agent does not extend; 0: there is none."""
        if self.wrap_up.mode == "mandatory":
            return self.wrap_up.max_s
        return 0 if self.wrap_up.mode == "optional" else self.wrap_up_s


class ServedQueue(Part):
    """A queue as one agent serves it."""

    queue: Token
    priority: Annotated[int, Field(ge=1, le=10)] = 1
    """1 comes first: an agent takes from a queue of 2 only when nobody waits in those of 1, however long."""
    after_s: Annotated[int, Field(ge=0, le=3600)] = 0
    """The agent comes in for contacts that have waited so long in the queue."""


def _served(value: object) -> object:
    return {"queue": value} if isinstance(value, str) else value


class Agent(Part):
    """A person who takes contacts, and the phone they use."""

    name: Text
    extension: Extension
    skills: Skills = {}
    queues: Annotated[
        list[Annotated[ServedQueue, BeforeValidator(_served, json_schema_input_type=Token | ServedQueue)]],
        Field(min_length=1),
    ]
    """Queues by name, or with the agent's own order: ``[sales, {queue: support, priority: 2}]``."""
    team: Token | None = None
    """Whose supervisors may listen to them and steer them; without one, when there are teams, only administrators."""
    calls: CallRights = CallRights()
    """What the agent may call outside."""
    weight: Annotated[int, Field(ge=1, le=100)] = 1
    """Share of the contacts in queues with the strategy ``random_weighted``."""
    pin: PinHash | None = None
    """Of the PIN with which the agent logs in at another phone (``*23`` and the extension); None: that is not possible."""
    language: Language | None = None
    """In which the agent hears prompts; None is the center's first."""
    capacity: dict[Token, Annotated[int, Field(ge=0, le=25)]] = {}
    """By channel, where it is another one than the channel's own; 0: the agent takes none. ``call`` is 1, or 0."""
    number: OutsideNumber | None = None
    """Where the agent is called, by the trunks, while not logged in at a desk (``*23``): a mobile, another office. None: at the own phone.

    Whether the own phone is registered is not asked then, and calls of the agent's own are not seen.
    """
    confirm: bool = True
    """Whether who answers at ``number`` has to press 1 before the caller is put through: a voicemail does not."""

    @property
    def queue_names(self) -> list[str]:
        """The queues that the agent serves."""
        return [served.queue for served in self.queues]


class Team(Part):
    """Agents with the same supervisors. As soon as there is one, a supervisor sees and steers own teams only."""

    name: Text
    supervisors: Annotated[list[Token], Field(min_length=1)]
    """Who they are to HTTP (the subject of the token); who is also an agent supervises by phone, too."""
    calls: CallRights = CallRights()
    """What the team's agents may call outside, all of them together."""


class EntryPoint(Part):
    """A called number and what it starts. ``fallback_queue`` takes callers when the flow cannot run."""

    name: Text
    flow: Token
    language: Language | None = None
    """In which the caller is spoken to first; None: that of the flow."""
    fallback_queue: Token
    head_start_s: Annotated[int, Field(ge=-86_400, le=86_400)] = 0
    """Callers of this number count as if they had waited so much longer."""


class Limits(Part):
    """What happens to waiting callers while the message bus is down."""

    outage_wait_s: Seconds = 60
    outage_transfer: Number | None = None
    outage_prompt: Token | None = None


class Miss(Part):
    """What follows for an agent after an offer that ended for one cause."""

    delay_s: Annotated[int, Field(ge=0, le=3600)] = 5
    """Nothing is offered for so long."""
    most: Annotated[int, Field(ge=0, le=100)] = 0
    """After so many in a row the agent is put on a break with this reason; 0 is never."""


class Misses(Part):
    """Per cause; what is not given is as the operator of routing has set it (unreachable: a break at once)."""

    no_answer: Miss | None = None
    declined: Miss | None = None
    busy: Miss | None = None
    unreachable: Miss | None = None


class Transfer(Part):
    """What becomes of a contact that an agent passes on."""

    place: Literal["kept", "last"] = "kept"
    """In another queue: ``kept``, its whole wait counts, so it comes before those who came later; ``last``, from now on."""
    failed: Literal["queue", "agent"] = "queue"
    """When the colleague does not take it: to the head of its ``queue``, or first back to the ``agent`` who sent it."""


class Channel(Part):
    """A channel other than calls, whose contacts another service brings. A call always fills an agent, and nothing interrupts it."""

    capacity: Annotated[int, Field(ge=1, le=25)]
    """So many of them fill an agent: each takes that share, and shares of different channels add up."""
    interrupted_by: list[Token] = []
    """Contacts of these channels (``call`` is one) may come in between: those of this channel do not count for them."""


class Routing(Part):
    """How contacts compete. A contact's score is its age plus its head starts; the highest score comes first."""

    priority_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    """Head start for each point of priority."""
    classes: dict[Token, Annotated[int, Field(ge=-86_400, le=86_400)]] = {}
    """Head start in seconds by the class of the caller."""
    between_queues: Literal["strict", "share"] = "strict"
    """Between an agent's queues of the same priority.

    ``strict``: the highest score of all comes first. A queue whose callers get large head starts is then served first, and
    the others wait for as long as it has callers. ``share``: the queues take turns, one contact each, and the score orders within
    a queue: nobody is starved, and head starts do nothing across queues. What both do to waits is measured in
    ``tests/sim/test_routing_fairness.py``.
    """
    misses: Misses = Misses()
    transfer: Transfer = Transfer()
    channels: dict[Token, Channel] = {}
    """Beside calls. Of what an agent may take, calls come first, then the channels in this order."""


class CenterDocument(Part):
    """One tenant's whole configuration as it is written down."""

    tenant: Token
    name: Text
    timezone: Zone
    languages: Annotated[list[Language], Field(min_length=1)]
    """In the order in which a prompt is looked for when the caller's own language lacks it."""
    default_entry_point: EntryNumber
    prompts_dir: SoundsFolder = "prompts"
    """Below FreeSWITCH's sounds folder: ``<sounds>/<prompts_dir>/<language>/<prompt>.wav``."""
    prompts: dict[Token, Text] = {}
    calendars: dict[Token, Calendar] = {}
    dispositions: list[Named] = []
    break_reasons: list[BreakReason] = []
    skills: list[Skill] = []
    routing: Routing = Routing()
    queues: Annotated[dict[Token, Queue], Field(min_length=1)]
    teams: dict[Token, Team] = {}
    agents: dict[Token, Agent] = {}
    desks: list[Extension] = []
    """Phones that are nobody's: agents with a PIN log in at them, as at each other's."""
    login: Login = Login()
    entry_points: Annotated[dict[EntryNumber, EntryPoint], Field(min_length=1)]
    flows: Annotated[dict[Token, Flow], Field(min_length=1)]
    web: dict[Token, WebService] = {}
    """Web services that flows may ask, and nobody else."""
    customers: Annotated[Customers, Field(max_length=5000)] = {}
    """What is known of callers, by number. Larger tables are asked for by ``customer_lookup``."""
    customer_lookup: CustomerLookup | None = None
    """The web service that is asked for callers whom ``customers`` does not have."""
    country_code: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2}$")] | None = None
    """Of the country in which ``0912…`` is a number: customers are found however their number is written."""
    do_not_call: list[Number] = []
    """Numbers that are never called back, as they would be dialled."""
    trunks: dict[Token, Trunk] = {}
    """By which carriers numbers outside are called; without any, by the one gateway that the installation is set to."""
    routes: list[Route] = []
    """Which trunks carry which numbers; none: every number goes by all trunks, in their order."""
    calls: CenterCalls = CenterCalls()
    """Which numbers outside people may call, and how often. Nobody may without it."""
    limits: Limits = Limits()
    voicemail: Voicemail = Voicemail()
    speech: Speech = Speech()
    reports: Reports = Reports()
    tariffs: Tariffs | None = None
    """What contacts cost; None: reports have no costs."""

    @field_validator("languages")
    @classmethod
    def _distinct(cls, languages: list[str]) -> list[str]:
        if len(set(languages)) != len(languages):
            raise ValueError("a language is named twice")
        return languages


class Retired(Part):
    """A queue that is gone from the document while callers may still be in it: they are served as it says, nobody new comes in."""

    queue: Queue
    agents: dict[Token, ServedQueue] = {}
    """Who served it, each with the order it had."""
    at_us: int
    """When it went; after a day it is forgotten."""


class Center(CenterDocument):
    """A document as it was read, with the revision that facts name and the file that errors name."""

    revision: str
    """First 12 hexadecimal digits of the SHA-256 of the file's bytes."""
    path: Path
    retired: dict[Token, Retired] = {}
    """Queues that drain (``services.center.draining``), by name."""

    def text(self, texts: dict[str, str], language: str) -> str:
        """Return ``texts`` in ``language``, else in the first of the center's languages that has it."""
        for candidate in (language, *self.languages):
            if candidate in texts:
                return texts[candidate]
        return next(iter(texts.values()))

    def first_language(self, entry: EntryPoint) -> str:
        """The language in which callers of an entry point are spoken to first."""
        flow = self.flows.get(entry.flow)
        return entry.language or (flow.language if flow is not None else None) or self.languages[0]

    def language_order(self, language: str) -> tuple[str, ...]:
        """Return the languages in which to look for a prompt, ``language`` first."""
        return tuple(dict.fromkeys((language, *self.languages)))
