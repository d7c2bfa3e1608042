"""The flow interpreter: ``step(state, event) -> (state, outputs)``.

Theory of operation
-------------------
A call is in one *mode*: playing (a playback runs, or was told to stop), listening (for keys, with a timer), recording, looking (at a
queue), asking (a web service), transfer, handing (the hand-over is being written on the channel), ended. Every event either fits the mode or is ignored, so
late completions, old timers and keys at odd moments need no care of their own. What waits for somebody's answer (a recording, a
look, a request, a ringing transfer, the confirmation of a hand-over) also has a timer of ours: an answer that never comes is an answer.

``talking`` has what is heard, ``inputs`` what is keyed, ``understanding`` what is said, ``asking`` who is asked outside; here is the course of the flow: which node is next, flows that call each other,
and the end.

*Flows and their versions.* A plan has every flow as it was when the call began, so a call ends in the flows in which it began, whatever
is edited meanwhile. A flow that calls another one waits on a stack; going on in another flow (``GoTo``) throws the stack away.

*A call always ends, and never by our fault.* Steps and time are bounded; the time limit, a broken flow and an internal
error all hand the caller over to the entry point's fallback queue; in a survey, after the conversation, they end the call. A caller who
does nothing reaches an end anyway (services/center/flow_paths.py refuses other flows); the limits are for callers who keep pressing keys.

*Chance comes with the call.* Each split draws from the number that Begun brought, its own step and node, so the same call takes the same
way again in a replay, and two splits of a call are independent.

Timer ids: 1 is the call's time limit, every other id is used once, and only the newest counts.
"""

from __future__ import annotations

import re

import msgspec

from services.center.phrases import filled
from services.ivr.core.choosing import branch, drawn
from services.ivr.core.hours import is_open
from services.ivr.core.model import (
    AgentSeen,
    AnswerCall,
    ArmTimer,
    Begun,
    Broken,
    Ended,
    Event,
    HandedOver,
    HandOver,
    HideKeys,
    HungUp,
    KeyPressed,
    LookAtAgent,
    LookAtQueue,
    Lost,
    Output,
    PlayEnded,
    QueueSeen,
    QueueUnseen,
    RecordAnswer,
    Recorded,
    RecordMessage,
    SayText,
    SpeakText,
    SpeechBegan,
    SpeechMissed,
    SpeechUnderstood,
    TimerFired,
    Transfer,
    TransferConnected,
    TransferEnded,
    WebAnswered,
    WebFailed,
)
from services.ivr.core.nodes import (
    Answer,
    Ask,
    AskWeb,
    Assign,
    Branch,
    CallFlow,
    ChooseLanguage,
    GoTo,
    Hangup,
    Hours,
    Limits,
    Listen,
    Look,
    LookUp,
    Menu,
    Node,
    Plan,
    Play,
    Return,
    Say,
    Speak,
    Split,
    TakeAnswer,
    TakeMessage,
    ToAgent,
    ToNumber,
    ToQueue,
    WishSurvey,
)
from services.ivr.core.state import TIME_LIMIT, State, Utterance
from services.ivr.core.understanding import Understanding

_EARLY = (
    Play,
    Say,
    Hours,
    Branch,
    Look,
    Split,
    Assign,
    AskWeb,
    LookUp,
    WishSurvey,
    GoTo,
    CallFlow,
    Return,
    Hangup,
)
"""What may go on before the call is answered."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Interpreter:
    """One plan with its limits; holds no state of calls."""

    def __init__(self, plan: Plan, limits: Limits) -> None:
        self._plan = plan
        self._limits = limits

    def step(self, state: State, event: Event) -> tuple[State, list[Output]]:
        """Return the state after ``event`` and what is to be done, in order."""
        run = _Step(self._plan, self._limits, msgspec.structs.replace(state), event.at_us)
        if state.mode != "ended":
            run.handle(event)
            run.settle()
        return run.state, run.out


class _Step(Understanding):
    """The work of one step on a private copy of the state."""

    def handle(self, event: Event) -> None:
        s = self.state
        match event:
            case Begun() if s.mode == "new":
                self.begin(event)
            case HungUp():
                # Who hangs up after talking has not left the flow.
                self.leave("connected" if s.bridged else "hung_up")
                self.end("transferred" if s.bridged else "hung_up", event.cause, hang_up=False)
            case Lost():
                self.leave("lost")
                self.end("failed", "connection_lost", hang_up=False)
            case Broken() if s.mode == "handing":
                self.unconfirmed()
            case Broken():
                self.fall_back("error")
            case KeyPressed():
                self.key(event.key)
            case SpeechBegan():
                self.speech_began(event)
            case SpeechUnderstood() | SpeechMissed():
                self.speech_over(event)
            case PlayEnded() if s.mode == "playing" and s.playing and event.play == s.playing.what.play:
                if self.play_ended(event):
                    self.spoken(event)
            case TimerFired() if event.timer == TIME_LIMIT:
                if s.mode in ("playing", "listening", "looking", "asking"):
                    self.fall_back("limit")
            case TimerFired() if event.timer == s.timer:
                self.timer_fired()
            case Recorded() if s.mode == "recording" and event.recording == s.step_no:
                self.recorded(event.length_ms)
            case QueueSeen() if s.mode == "looking" and event.look == s.step_no:
                self.looked(event)
            case QueueUnseen() if s.mode == "looking" and event.look == s.step_no:
                self.looked(None)
            case AgentSeen() if s.mode == "looking" and event.look == s.step_no:
                self.agent_seen(event.state)
            case WebAnswered() if s.mode == "asking" and event.request == s.step_no:
                self.web_answered(event)
            case WebFailed() if s.mode == "asking" and event.request == s.step_no:
                self.web_failed(event.reason)
            case TransferConnected() if s.mode == "transfer":
                s.bridged = True
            case TransferEnded() if s.mode == "transfer":
                self.transfer_ended(event.cause)
            case HandedOver() if s.mode == "handing":
                self.end("handed_over", "", hang_up=False)

    def timer_fired(self) -> None:
        """What was waited for did not come in time."""
        s = self.state
        match s.mode:
            case "listening":
                self.timed_out()
            case "looking" if isinstance(self.node, ToAgent):
                self.agent_seen("unseen")
            case "looking":
                self.looked(None)
            case "asking":
                self.web_failed("timeout")
            case "recording":
                self.fall_back("limit")
            case "transfer" if not s.bridged:
                self.fall_back("limit")
            case "handing":
                self.unconfirmed()

    def settle(self) -> None:
        """Enter node after node until one has to wait. A loop, so that no flow can exhaust the stack."""
        while self.next is not None:
            name, self.next = self.next, None
            self.enter(name)

    # -- the course of the flow ------------------------------------------------------------------------------------

    def begin(self, event: Begun) -> None:
        s = self.state
        s.started_us = s.entered_us = event.at_us
        s.languages = event.languages
        s.chance = event.chance
        s.unanswered = not event.answered
        language = event.languages[0] if event.languages else ""
        s.variables = {"caller": event.caller, "entry": event.entry, "language": language}
        self.out.append(ArmTimer(TIME_LIMIT, self.limits.max_time_ms))
        self.go_to(self.plan.first)

    def go_to(self, name: str) -> None:
        """Begin a flow."""
        self.state.flow = name
        flow = self.flow
        self.next = flow.start if flow is not None else ""

    def enter(self, name: str) -> None:
        s = self.state
        s.mode = "deciding"
        s.step_no += 1
        s.node = name
        s.reported = False
        s.entered_us = self.at_us
        node = self.node
        if node is None:
            self.fall_back("error")
        elif s.step_no > self.limits.max_steps or self.at_us - s.started_us >= self.limits.max_time_ms * 1000:
            self.fall_back("limit")
        else:
            self.perform(node)

    def answer(self) -> None:
        """Answer the call, once."""
        if self.state.unanswered:
            self.state.unanswered = False
            self.out.append(AnswerCall())

    def perform(self, node: Node) -> None:
        s = self.state
        if not isinstance(node, _EARLY):
            self.answer()
        match node:
            case Play():
                self.speak([self.prompt(name) for name in node.prompts], "then")
            case Say():
                self.say(node)
            case Speak():
                self.speak_text(node)
            case Menu() | Listen() | Ask() | ChooseLanguage():
                if isinstance(node, Ask) and node.secret and not s.hidden:
                    s.hidden = True
                    self.out.append(HideKeys())
                s.tries_left = node.tries
                self.begin_round(node)
            case TakeMessage() | TakeAnswer():
                s.typed = ""
                self.speak([self.prompt(node.prompt)], "record")
            case AskWeb():
                self.ask_web(node)
            case LookUp():
                self.look_up(node)
            case Look():
                s.mode = "looking"
                self.out.append(LookAtQueue(s.step_no, node.queue))
                self.arm(self.limits.look_ms)
            case ToAgent():
                self.to_agent(node)
            case ToQueue():
                self.leave(f"queue:{node.queue}")
                self.hand_over(node)
            case ToNumber():
                s.mode = "transfer"
                self.out.append(Transfer(node.number))
                self.arm(self.limits.ring_ms)
            case Hangup():
                self.leave(node.achieved)
                self.end("closed" if s.was_closed else "finished", "NORMAL_CLEARING", hang_up=True)
            case Answer():
                self.leave("answered")
                self.next = node.then
            case _:
                self.decide(node)

    def decide(self, node: Hours | Branch | Split | Assign | WishSurvey | GoTo | CallFlow | Return) -> None:
        """Nodes that take no time: they only say what is next."""
        s = self.state
        match node:
            case Hours():
                self.hours(node)
            case Branch():
                matched, self.next = branch(node, s.variables.get(node.variable, ""))
                self.leave("matched" if node.secret and matched != "otherwise" else matched)
            case Split():
                self.next = drawn(node, s.chance, s.step_no)
                self.leave(f"split:{self.next}")
            case Assign():
                self.assign(node)
                self.next = node.then
            case WishSurvey():
                s.survey = node.survey
                self.leave("none" if node.survey == "-" else f"survey:{node.survey}")
                self.next = node.then
            case GoTo():
                self.leave(f"flow:{node.flow}")
                s.calls = ()
                self.go_to(node.flow)
            case CallFlow():
                self.assign(node)
                s.calls = (*s.calls, (s.flow, s.node))
                self.go_to(node.flow)
            case Return():
                self.return_by(node.name)

    def assign(self, node: Assign | CallFlow) -> None:
        s = self.state
        before = s.variables
        values = {
            name: before.get(value[1:], "") if value.startswith("$") else value
            for name, value in node.values.items()
        }
        s.variables = {**before, **values}
        if "language" in values:
            self.speak_in(values["language"])
        self.leave("set" if isinstance(node, Assign) else f"call:{node.flow}")

    def return_by(self, name: str) -> None:
        s = self.state
        if not s.calls:
            self.fall_back("error")
            return
        self.leave(f"return:{name}")
        (s.flow, caller), s.calls = s.calls[-1], s.calls[:-1]
        s.node = caller
        node = self.node
        self.next = node.then.get(name, "") if isinstance(node, CallFlow) else ""

    def hours(self, node: Hours) -> None:
        if node.calendar.emergency:
            result, self.next = "emergency", node.emergency
        elif is_open(node.calendar, self.at_us):
            result, self.next = "open", node.open
        else:
            result, self.next = "closed", node.closed
        self.state.was_closed = result != "open"
        self.leave(result)

    def fall_back(self, result: str) -> None:
        s = self.state
        if s.mode == "recording" or (s.mode == "playing" and s.playing is not None):
            self.stop_speech()
        self.leave(result)
        self.fall_to_queue(result)

    def fall_to_queue(self, why: str) -> None:
        """What this call cannot be served: to the fallback queue, where there is one."""
        if self.plan.fallback is None:
            self.end("failed", why, hang_up=True)
        else:
            self.hand_over(self.plan.fallback)

    def hand_over(self, to: ToQueue) -> None:
        s = self.state
        self.answer()
        s.mode = "handing"
        self.out.append(
            HandOver(
                to.queue,
                to.priority,
                to.skills,
                s.languages[0] if s.languages else "",
                s.variables.get("customer", ""),
                self.name_in(to.service_class),
                self.name_in(to.preferred_agent),
                to.callback,
                s.survey,
                to.preferred_ms,
                to.no_answer,
            )
        )
        self.arm(self.limits.confirm_ms)

    def name_in(self, value: str) -> str:
        """A name, or what the variable has that ``$variable`` names; empty when that is no name."""
        if not value.startswith("$"):
            return value
        name = self.state.variables.get(value[1:], "")
        return name if _NAME.fullmatch(name) else ""

    def unconfirmed(self) -> None:
        """What the channel has is unknown; the dialplan takes the caller to waiting either way."""
        self.end("handed_over", "unconfirmed", hang_up=False)

    def end(self, outcome: str, cause: str, *, hang_up: bool) -> None:
        self.state.mode = "ended"
        self.out.append(Ended(outcome, self.state.node, cause, hang_up, self.at_us))

    # -- what is over ----------------------------------------------------------------------------------------------

    def say(self, node: Say) -> None:
        s = self.state
        text = s.variables.get(node.what, "") if node.what[:1].isalpha() else node.what
        if not any(c.isdigit() and c.isascii() for c in text):
            self.leave("empty")
            self.next = node.then
            return
        spoken = SayText(0, text, node.form, "", node.detail)
        self.speak([Utterance(spoken, s.languages, voice=s.languages[0])], "then")

    def speak_text(self, node: Speak) -> None:
        s = self.state
        texts = {language: filled(text, s.variables) for language, text in node.texts.items()}
        languages = tuple(language for language in s.languages if language in texts)
        if not languages:
            self.leave("missing")
            self.next = node.otherwise
            return
        self.speak([Utterance(SpeakText(0, "", ""), languages, texts)], "then")

    def spoken(self, event: PlayEnded) -> None:
        """The whole speech of a node was heard, or broken off."""
        s = self.state
        node = self.node
        match s.after, node:
            case "listen", Menu() | Listen() | Ask() | ChooseLanguage():
                if s.heard or s.stopping or s.typed:
                    self.listen(node)
                else:  # Nobody answers a question that could not be heard.
                    self.leave("missing")
                    self.next = node.otherwise
            case "round", Menu() | Listen() | Ask() | ChooseLanguage():
                self.begin_round(node)
            case "record", TakeMessage():
                s.mode = "recording"
                s.stopping = False
                self.out.append(RecordMessage(s.step_no, node.queue, node.most_s, node.silence_s))
                self.arm(node.most_s * 1000 + self.limits.grace_ms)
            case "record", TakeAnswer():
                s.mode = "recording"
                s.stopping = False
                self.out.append(RecordAnswer(s.step_no, node.question, node.most_s, node.silence_s))
                self.arm(node.most_s * 1000 + self.limits.grace_ms)
            case "then", Play() | Say() | Speak():
                self.next = node.then
                if not event.said:
                    self.leave("unsayable")
                elif s.stopping or s.heard:
                    self.leave("skipped" if s.stopping else "played")
                else:
                    self.leave("missing")
                    self.next = node.otherwise or node.then

    def recorded(self, length_ms: int) -> None:
        node = self.node
        if isinstance(node, TakeAnswer):
            if length_ms:
                self.rated(node.question, said_ms=length_ms)
            self.leave("recorded" if length_ms else "nothing")
            self.next = node.then
            return
        assert isinstance(node, TakeMessage)
        if length_ms >= max(1, node.least_ms):
            self.leave("recorded")
            self.next = node.then
        else:
            self.leave("nothing")
            self.next = node.otherwise

    def to_agent(self, node: ToAgent) -> None:
        """Look whether the agent is there; routing decides all the rest."""
        s = self.state
        agent = self.name_in(node.agent)
        if not agent:
            self.leave("nobody")
            self.next = node.away
            return
        s.mode = "looking"
        self.out.append(LookAtAgent(s.step_no, agent))
        self.arm(self.limits.look_ms)

    def agent_seen(self, state: str) -> None:
        """Whom nobody could see may be there: routing will know."""
        node = self.node
        assert isinstance(node, ToAgent)
        if state == "away" or (state == "busy" and node.busy):
            self.leave(state)
            self.next = node.away if state == "away" else node.busy
            return
        self.leave(f"queue:{node.queue}")
        to = ToQueue(
            node.queue,
            node.priority,
            preferred_agent=node.agent,
            preferred_ms=node.wait_ms,
            no_answer=node.no_answer,
        )
        self.hand_over(to)

    def transfer_ended(self, cause: str) -> None:
        node = self.node
        if self.state.bridged:
            self.leave("connected")
            self.end("transferred", cause, hang_up=True)
        elif isinstance(node, ToNumber) and node.otherwise is not None:
            self.leave(f"failed:{cause}")
            self.next = node.otherwise
        else:
            self.leave(f"failed:{cause}")
            self.fall_to_queue("transfer")


__all__ = ["Interpreter", "State"]
