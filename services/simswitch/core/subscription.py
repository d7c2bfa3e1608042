"""What one listener asked for, and whether an event goes to it: ``event_handler`` and ``parse_command`` of mod_event_socket.c.

* Every token after ``CUSTOM`` is a subclass, also when it is the name of a standard event.
* Several filters are alternatives over all headers; a negative one that matches ends it; with only negative ones nothing is
  delivered. ``/re/`` is a regular expression only when it is not preceded by ``-`` or ``+``.
* ``myevents`` asks for the ``Unique-ID`` of the session, or for a job that the session owns. For an inbound client whose
  uuid is nobody's it lets the events of *every* channel pass.
* A filter holds for everything: one on ``Unique-ID`` takes BACKGROUND_JOB away too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.simswitch.core.wire import EVENT_NAMES, Event, Format

XML_REFUSED: Final = "-ERR xml is not spoken by this simulated switch, expected plain or json"

_MYEVENTS: Final = """CHANNEL_ANSWER CHANNEL_APPLICATION CHANNEL_BRIDGE CHANNEL_CREATE CHANNEL_DATA CHANNEL_DESTROY CHANNEL_EXECUTE
    CHANNEL_EXECUTE_COMPLETE CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE CHANNEL_ORIGINATE CHANNEL_UUID CHANNEL_OUTGOING
    CHANNEL_PARK CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_STATE CHANNEL_UNBRIDGE CHANNEL_UNPARK
    DETECTED_SPEECH DTMF NOTALK TALK"""
MYEVENTS: Final = frozenset(_MYEVENTS.split())


@dataclass(frozen=True, slots=True)
class Rights:
    """What a directory user may do (``esl-allowed-events``, ``-api``, ``-log``); None is everything."""

    events: frozenset[str] | None = None
    subclasses: frozenset[str] | None = None
    api: frozenset[str] | None = None
    log: bool = True

    def may_run(self, name: str, argument: str) -> bool:
        """Whether an API command is allowed; one that runs another is looked into."""
        while self.api is not None:
            if name not in self.api:
                return False
            if name.lower() not in ("bgapi", "sched_api", "eval", "expand", "xml_wrap") or not argument:
                return True
            name, _, argument = argument.partition(" ")
        return True


def rights(*, events: str | None, api: str | None, log: bool) -> Rights:
    """Read the three lists of a directory user, separated by blanks if there is one, else by commas."""
    names, subclasses = _event_list(events) if events is not None else (None, None)
    allowed = None if api is None else frozenset(_split(api))
    return Rights(names, subclasses, allowed, log)


def _split(text: str) -> list[str]:
    return text.split(" " if " " in text else ",")


def _event_list(text: str) -> tuple[frozenset[str] | None, frozenset[str]]:
    names: set[str] = set()
    subclasses: set[str] = set()
    custom = False
    for word in _split(text):
        if custom:
            subclasses.add(word)
        elif word.upper() in EVENT_NAMES:
            names.add(word.upper())
            custom = word.upper() == "CUSTOM"
    return (None if "ALL" in names else frozenset(names)), frozenset(subclasses)


@dataclass(slots=True)
class Subscription:
    """What one listener asked for."""

    fmt: Format = "plain"
    listening: bool = False
    names: set[str] = field(default_factory=set)
    subclasses: set[str] = field(default_factory=set)
    everything: bool = False
    filters: list[tuple[str, str]] = field(default_factory=list)
    session: str = ""
    """The leg of ``myevents``; empty while ``only_session`` is true: every leg."""
    only_session: bool = False
    rights: Rights = field(default_factory=Rights)

    # -- commands, with their replies

    def event(self, words: Sequence[str]) -> str:
        """``event [plain|json] NAMES...``"""
        known = 0
        custom = False
        for i, word in enumerate(words):
            lower = word.lower()
            if i == 0 and lower == "xml":
                return XML_REFUSED
            if i == 0 and lower in ("plain", "json"):
                self.fmt = "json" if lower == "json" else "plain"
            elif custom:
                if self.rights.subclasses is not None and word not in self.rights.subclasses:
                    return "-ERR permission denied"
                self.subclasses.add(word)
            elif word.upper() in EVENT_NAMES:
                name = word.upper()
                if self.rights.events is not None and name not in self.rights.events:
                    return "-ERR permission denied"
                known += 1
                if name == "ALL":
                    self.everything = True
                else:
                    self.names.add(name)
                custom = name == "CUSTOM"
        if not known:
            return "-ERR no keywords supplied"
        self.listening = True
        return f"+OK event listener enabled {self.fmt}"

    def nixevent(self, words: Sequence[str], known_subclasses: Callable[[], set[str]]) -> str:
        """``nixevent NAMES...``; after ALL the subclasses that are known stay subscribed."""
        known = 0
        custom = False
        for word in words:
            name = word.upper()
            if custom:
                self.subclasses.discard(word)
            elif name in EVENT_NAMES:
                known += 1
                if name == "ALL":
                    self.names.clear()
                    self.everything = False
                elif name == "CUSTOM":
                    custom = True
                else:
                    if self.everything:
                        self.everything = False
                        self.names |= EVENT_NAMES - {"ALL"}
                        self.subclasses |= known_subclasses()
                    self.names.discard(name)
        if not known:
            return "-ERR no keywords supplied"
        self.listening = True
        return "+OK events nixed"

    def noevents(self) -> str:
        """``noevents``; filters and ``myevents`` stay."""
        was = self.listening
        self.listening = self.everything = False
        self.names.clear()
        self.subclasses.clear()
        return "+OK no longer listening for events" if was else "-ERR not listening for events"

    def my_events(self, session: str, words: str) -> str:
        """``myevents``; ``session`` empty is every leg."""
        if "xml" in words or "XML" in words:
            return XML_REFUSED
        self.session = session
        self.only_session = True
        self.listening = True
        self.names |= MYEVENTS
        if "json" in words or "JSON" in words:
            self.fmt = "json"
        return "+OK Events Enabled"

    def filter(self, argument: str) -> str:
        """``filter ...``"""
        name, blank, value = argument.lstrip(" ").partition(" ")
        if not blank:
            return "-ERR invalid syntax"
        if name.lower() == "delete":
            name, _, value = value.partition(" ")
            if name.lower() == "all":
                self.filters.clear()
            else:
                self._unfilter(name, value)
            return f"+OK filter deleted. [{name}][{value}]"
        if name.lower() == "add":
            name, blank, value = value.partition(" ")
            if not blank:
                return f"+OK filter added. [{name}]=[(null)]"
        if value:
            self.filters.append((name, value))
        else:
            self._unfilter(name)
        return f"+OK filter added. [{name}]=[{value}]"

    def _unfilter(self, name: str, value: str = "") -> None:
        self.filters = [
            (n, v) for n, v in self.filters if n.lower() != name.lower() or (value and v != value)
        ]

    # -- events

    def takes_name(self, name: str, subclass: str = "") -> bool:
        """Whether events of this name may be wanted at all: cheap, asked before an event is built."""
        if not self.listening:
            return False
        if self.everything:
            return True
        return name in self.names and (name != "CUSTOM" or not subclass or subclass in self.subclasses)

    def takes(self, event: Event) -> bool:
        """Whether this very event is delivered."""
        if not self.takes_name(event.name, event.subclass):
            return False
        if self.filters and not self._passes(event):
            return False
        if not self.only_session:
            return True
        uuid = event.get("Unique-ID")
        if not self.session:
            return bool(uuid)
        return uuid == self.session or event.headers.get("Job-Owner-UUID") == self.session

    def _passes(self, event: Event) -> bool:
        passed = False
        for header, value in self.filters:
            found = event.get(header)
            if found is None:
                continue
            want = value.lstrip("+- ")
            signs = value[: len(value) - len(want)].replace(" ", "")
            positive = not signs.endswith("-")
            if passed and positive:
                continue
            text = found if isinstance(found, str) else "ARRAY::" + "|:".join(found)
            matched = _matches(value, text) if value.startswith("/") else text.lower() == want.lower()
            if matched and not positive:
                return False
            passed = passed or matched
        return passed


def _matches(expression: str, text: str) -> bool:
    """``/re/`` with PCRE's flag letters; one that does not compile matches nothing."""
    body, slash, flags = expression[1:].rpartition("/")
    if not slash:
        body, flags = flags, ""
    try:
        return re.search(body, text, re.IGNORECASE if "i" in flags else 0) is not None
    except re.error:
        return False
