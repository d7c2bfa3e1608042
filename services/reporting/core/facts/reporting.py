"""The facts of reporting itself: what people told it, and what became of the reports that it sends."""

from __future__ import annotations

import msgspec


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The points for one question."""

    question: str = ""
    score: int = 0
    most: int = 0
    comment: str = ""


class EvaluationGiven(msgspec.Struct, frozen=True, kw_only=True):
    """A contact or conversation was judged, or the judgement corrected: all marks that are valid now."""

    evaluation_id: str = ""
    contact_id: str = ""
    segment_id: str = ""
    agent_id: str = ""
    form: str = ""
    evaluator: str = ""
    marks: tuple[Mark, ...] = ()
    withdrawn: tuple[str, ...] = ()
    first_at_us: int = 0
    at_us: int = 0


class ReportSent(msgspec.Struct, frozen=True, kw_only=True):
    """A scheduled report was taken over by its target."""

    schedule: str = ""
    target: str = ""
    due_at_us: int = 0
    from_us: int = 0
    to_us: int = 0
    file_name: str = ""
    attempt: int = 0
    repeated: bool = False
    at_us: int = 0


class ReportFailed(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt to send a scheduled report failed."""

    schedule: str = ""
    target: str = ""
    due_at_us: int = 0
    reason: str = ""
    attempt: int = 0
    at_us: int = 0


ReportingFact = EvaluationGiven | ReportSent | ReportFailed
