"""The facts of ivr: what the caller heard and chose until the call was handed on."""

from __future__ import annotations

import msgspec


class ContactStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A call reached an entry point and ivr took it."""

    contact_id: str = ""
    node: str = ""
    entry_point: str = ""
    ani: str = ""
    caller_name: str = ""
    language: str = ""
    flow: str = ""
    revision: str = ""
    started_at_us: int = 0
    flow_version: int = 0


class IvrStepTaken(msgspec.Struct, frozen=True, kw_only=True):
    """The caller went through one node of the flow."""

    contact_id: str = ""
    step_no: int = 0
    flow: str = ""
    flow_node: str = ""
    kind: str = ""
    result: str = ""
    spent_ms: int = 0
    at_us: int = 0
    entered_at_us: int = 0
    input: str = ""
    flow_version: int = 0


class IvrStepsTaken(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a call's way through its flow."""

    contact_id: str = ""
    steps: tuple[IvrStepTaken, ...] = ()
    at_us: int = 0


class PromptMissed(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt could not be heard in a language."""

    contact_id: str = ""
    flow: str = ""
    flow_node: str = ""
    prompt: str = ""
    language: str = ""
    given_up: bool = False
    at_us: int = 0
    by_voice: bool = False


class ContactHandedOver(msgspec.Struct, frozen=True, kw_only=True):
    """ivr wrote the queue on the channel and let go."""

    contact_id: str = ""
    queue: str = ""
    priority: int = 0
    skills: tuple[str, ...] = ()
    language: str = ""
    customer: str = ""
    at_us: int = 0
    steps: tuple[IvrStepTaken, ...] = ()


class IvrEnded(msgspec.Struct, frozen=True, kw_only=True):
    """The call ended inside ivr."""

    contact_id: str = ""
    outcome: str = ""
    flow_node: str = ""
    cause: str = ""
    duration_ms: int = 0
    at_us: int = 0
    steps: tuple[IvrStepTaken, ...] = ()


class SurveyAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """A question of a survey was answered, by a number or by words."""

    contact_id: str = ""
    survey: str = ""
    flow_version: int = 0
    question: str = ""
    kind: str = ""
    score: int = 0
    least: int = 0
    most: int = 0
    said_ms: int = 0
    recording_path: str = ""
    queue: str = ""
    agent_id: str = ""
    offer_id: str = ""
    at_us: int = 0


class SurveyEnded(msgspec.Struct, frozen=True, kw_only=True):
    """The survey after a conversation is over."""

    contact_id: str = ""
    survey: str = ""
    outcome: str = ""
    flow_node: str = ""
    cause: str = ""
    answers: int = 0
    duration_ms: int = 0
    queue: str = ""
    agent_id: str = ""
    offer_id: str = ""
    at_us: int = 0


IvrFact = (
    ContactStarted
    | IvrStepTaken
    | IvrStepsTaken
    | PromptMissed
    | ContactHandedOver
    | IvrEnded
    | SurveyAnswered
    | SurveyEnded
)
