"""What the core needs of the center documents; ``adapters/centers.py`` makes it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from services.center.outside import Outside

RINGING = "ringing"  # Instead of a stream: the tone of a phone that rings.
DEFAULT_MUSIC = "local_stream://moh"  # What the dialplan plays before anybody adopts the leg.


class Slot(Struct, frozen=True, kw_only=True):
    """Something that a waiting caller hears so long after the beginning of the wait, and again; see ``schedule``."""

    first_ms: int
    every_ms: int = 0  # 0: once.
    prompts: tuple[str, ...] = ()  # Of messages: one a time, in turn.
    up_to: int = 0  # Of the place: not beyond this one; 0 is any.
    only_shorter: bool = False


class CallbackPlan(Struct, frozen=True, kw_only=True):
    """How callers of a queue ask for a callback, and how they are called."""

    key: str = "1"
    after_ms: int = 0  # Told of it after so long; 0: not for that.
    expected_ms: int = 0  # Told of it when the rest of the wait is expected to be so long; 0: not for that.
    every_ms: int = 0
    confirm: bool = True
    another_number: bool = True
    prefixes: tuple[str, ...] = ()
    caller_id: str = ""  # Empty: the number that the customer had called.
    dial_ms: int = 25_000

    others: tuple[str, ...] = ()  # What another number than the caller's has to begin with ...
    forbidden: tuple[str, ...] = ()  # ... and must not begin with.

    def may_call(self, number: str, do_not_call: frozenset[str], *, own: bool) -> bool:
        """Whether the center calls this number, the caller's own or another one that was keyed."""
        if number in do_not_call or (self.prefixes and not number.startswith(self.prefixes)):
            return False
        if own:
            return True
        return number.startswith(self.others or ("",)) and not (
            self.forbidden and number.startswith(self.forbidden)
        )


class BeforeBridge(Struct, frozen=True, kw_only=True):
    """What is said between the agent's answer and the bridge; see ``connecting``."""

    name: str = ""  # Prompt that says the queue's name to the agent; empty: it is not said.
    wait: bool = False
    why: bool = False
    caller: str = ""  # Prompt for the caller.
    most_ms: int = 15_000


class SurveyPlan(Struct, frozen=True, kw_only=True):
    """Who is asked after a conversation, by which flow; see ``survey``."""

    flow: str
    share: int = 100  # Of a hundred.
    least_talk_ms: int = 0


class QueuePlan(Struct, frozen=True, kw_only=True):
    """One queue: how long its agents write up, what is heard in it, whether its calls are recorded."""

    name: str
    music: str = DEFAULT_MUSIC
    welcome: str = ""  # Prompt name.
    schedule: Mapping[str, Slot] = {}  # By ``position``, ``wait``, ``message.<n>``.
    keys: frozenset[str] = frozenset()  # Keys that lead somewhere; where is routing's to say.
    wrap_up_ms: int = 0
    recording: bool = False
    parallel: bool = False  # Several phones may ring for one caller.
    callback: CallbackPlan | None = None
    before_bridge: BeforeBridge | None = None
    survey: SurveyPlan | None = None
    caller_id: str = ""  # Shown to an agent at a number outside; empty: the number that the caller called.
    dispositions: frozenset[str] | None = None  # Those of them that can be keyed; None: all of the center.


class Watch(Struct, frozen=True, kw_only=True):
    """Who may supervise: the supervisors of each agent, and of each queue that their teams serve."""

    agents: Mapping[str, frozenset[str]]
    queues: Mapping[str, frozenset[str]]


class CenterPlan(Struct, frozen=True, kw_only=True):
    """One tenant. ``prompts`` maps (prompt, language) to the file as FreeSWITCH sees it."""

    tenant: str
    revision: str
    languages: tuple[str, ...]
    queues: Mapping[str, QueuePlan]
    fallback_queue: Mapping[str, str]  # By entry point; "" for calls of no known entry point.
    prompts: Mapping[tuple[str, str], str]
    dispositions: frozenset[str] = frozenset()  # Codes of one digit, those that can be keyed.
    outage_wait_ms: int = 60_000
    outage_transfer: str = ""  # Number outside; empty: message and hangup.
    outage_prompt: str = "sorry"
    message_most_s: int = 180
    message_silence_s: int = 5
    message_thanks: str = "message-thanks"
    flows: frozenset[str] = frozenset()
    survey_most_ms: int = 300_000
    do_not_call: frozenset[str] = frozenset()
    outside: Outside = Outside()
    inside: frozenset[str] = frozenset()  # Numbers that are not outside: extensions and entry points.
    agent_languages: Mapping[str, str] = {}  # Of agents who hear another one than the center's first.
    waits: Mapping[
        str, Mapping[int, tuple[str, ...]]
    ] = {}  # By language and seconds: what says that somebody has waited so long.
    watch: Watch | None = None  # None: there are no teams, every supervisor may supervise everybody.

    def prompt(self, name: str, language: str) -> str:
        """Return the file of a prompt in the language, else in the center's first language that has it, else ``""``."""
        for candidate in (language, *self.languages):
            if path := self.prompts.get((name, candidate)):
                return path
        return ""

    def keyed_codes(self, queue: QueuePlan) -> frozenset[str]:
        """Return the results that a key can give to a contact of the queue."""
        return self.dispositions if queue.dispositions is None else queue.dispositions

    def agent_language(self, agent: str) -> str:
        """Return the language in which the agent hears prompts."""
        return self.agent_languages.get(agent) or self.languages[0]

    def queue_for(self, name: str, entry_point: str) -> QueuePlan:
        """Return the named queue, else the entry point's fallback, else the center's: a caller is never without a queue."""
        if plan := self.queues.get(name):
            return plan
        for key in (entry_point, ""):
            if plan := self.queues.get(self.fallback_queue.get(key, "")):
                return plan
        return next(iter(self.queues.values()))


class Plans(Struct, frozen=True, kw_only=True):
    """All centers of the installation, in the order of their documents."""

    centers: tuple[CenterPlan, ...] = ()

    def of(self, tenant: str, entry_point: str) -> CenterPlan | None:
        """Return the tenant's center; without a tenant the entry point's; else the first. None only when there is no center."""
        for center in self.centers:
            if center.tenant == tenant:
                return center
        if not tenant:
            for center in self.centers:
                if entry_point in center.fallback_queue:
                    return center
        return self.centers[0] if self.centers else None
