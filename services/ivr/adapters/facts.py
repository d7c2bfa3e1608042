"""The core's outputs as facts for the bus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.center.model import Center, EntryPoint
from services.common.bus import Outgoing, Sendable, subjects
from services.contracts.peyvand.ivr.v1.events_pb2 import (
    ContactHandedOver,
    ContactStarted,
    IvrEnded,
    IvrStepsTaken,
    IvrStepTaken,
    PromptMissed,
    SurveyAnswered,
    SurveyEnded,
)
from services.ivr.adapters.channel import NO_CONVERSATION, Conversation, Leg
from services.ivr.core import model as core


@dataclass(frozen=True)
class Facts:
    """Facts of one call in one flow.

    Their ids name the contact, what happened, and when this flow began: a retry stores nothing twice, and a second ivr
    that starts the menu again after the first one died reports its own steps.
    """

    tenant: str
    contact_id: str
    started_us: int
    flow: str
    """In which the call began."""
    after: Conversation | None = None
    """Of a survey: the conversation before it."""

    def started(self, leg: Leg, center: Center, number: str, entry: EntryPoint) -> Outgoing:
        """The call reached an entry point. One a contact, whichever ivr says it first."""
        message = ContactStarted(
            contact_id=leg.contact_id,
            node=leg.node,
            entry_point=number,
            ani=leg.caller,
            caller_name=leg.caller_name,
            language=center.first_language(entry),
            flow=self.flow,
            flow_version=center.flows[self.flow].version,
            revision=center.revision,
            started_at_us=self.started_us,
        )
        return self._fact("started", f"{self.contact_id}:started", message, self.started_us)

    def stepped(self, steps: Sequence[core.StepTaken]) -> Outgoing:
        """The caller went through some nodes, at least one."""
        at_us = steps[-1].at_us
        message = IvrStepsTaken(contact_id=self.contact_id, steps=self._steps(steps), at_us=at_us)
        return self._fact("stepped-on", self._id("stepped-on", steps[0].step_no), message, at_us)

    def _steps(self, steps: Sequence[core.StepTaken]) -> list[IvrStepTaken]:
        return [
            IvrStepTaken(
                contact_id=self.contact_id,
                step_no=step.step_no,
                flow=step.flow,
                # Never empty: the fact around it would be refused, and with it how the call ended.
                flow_node=step.node or "(none)",
                kind=step.kind,
                result=step.result,
                spent_ms=step.spent_ms,
                at_us=step.at_us,
                entered_at_us=step.entered_us,
                input=step.input,
                flow_version=step.version,
            )
            for step in steps
        ]

    def prompt_missed(self, missing: core.PromptMissing, number: int) -> Outgoing:
        """A prompt could not be heard in a language. ``number`` counts those of the call."""
        message = PromptMissed(
            contact_id=self.contact_id,
            flow=missing.flow,
            flow_node=missing.node,
            prompt=missing.prompt,
            language=missing.language,
            given_up=missing.given_up,
            at_us=missing.at_us,
            by_voice=missing.by_voice,
        )
        return self._fact("prompt-missed", self._id("prompt-missed", number), message, missing.at_us)

    def handed_over(self, output: core.HandOver, at_us: int, steps: Sequence[core.StepTaken]) -> Outgoing:
        """The queue is written on the channel. ``steps``: those that were not told yet."""
        message = ContactHandedOver(
            contact_id=self.contact_id,
            queue=output.queue,
            priority=output.priority,
            skills=output.skills,
            language=output.language,
            customer=output.customer,
            at_us=at_us,
            steps=self._steps(steps),
        )
        return self._fact("handed-over", self._id("handed-over", 0), message, at_us)

    def ended(self, output: core.Ended, steps: Sequence[core.StepTaken]) -> Outgoing:
        """The call ended inside ivr. ``steps``: those that were not told yet."""
        message = IvrEnded(
            contact_id=self.contact_id,
            outcome=output.outcome,
            flow_node=output.node,
            cause=output.cause,
            duration_ms=max(0, (output.at_us - self.started_us) // 1000),
            at_us=output.at_us,
            steps=self._steps(steps),
        )
        return self._fact("ended", self._id("ended", 0), message, output.at_us)

    def rated(self, rated: core.Rated, version: int, recording_path: str) -> Outgoing:
        """A question of a survey was answered."""
        after = self.after or NO_CONVERSATION
        message = SurveyAnswered(
            contact_id=self.contact_id,
            survey=rated.flow,
            flow_version=version,
            question=rated.question,
            kind="comment" if rated.said_ms else "score",
            score=rated.score,
            least=rated.least,
            most=rated.most,
            said_ms=rated.said_ms,
            recording_path=recording_path if rated.said_ms else "",
            queue=after.queue,
            agent_id=after.agent,
            offer_id=after.offer,
            at_us=rated.at_us,
        )
        return self._fact("answered", self._id("answered", rated.step_no), message, rated.at_us)

    def surveyed(self, output: core.Ended, answers: int) -> Outgoing:
        """The survey after a conversation is over."""
        after = self.after or NO_CONVERSATION
        message = SurveyEnded(
            contact_id=self.contact_id,
            survey=self.flow,
            outcome=output.outcome,
            flow_node=output.node,
            cause=output.cause,
            answers=answers,
            duration_ms=max(0, (output.at_us - self.started_us) // 1000),
            queue=after.queue,
            agent_id=after.agent,
            offer_id=after.offer,
            at_us=output.at_us,
        )
        return self._fact("surveyed", self._id("surveyed", 0), message, output.at_us)

    def _id(self, what: str, number: int) -> str:
        return f"{self.contact_id}:{what}:{self.started_us // 1000}.{number}"

    def _fact(self, what: str, fact_id: str, message: Sendable, at_us: int) -> Outgoing:
        return Outgoing(
            subject=subjects.fact(self.tenant, "ivr", "contact", what),
            message=message,
            id=fact_id,
            tenant=self.tenant,
            correlation_id=self.contact_id,
            time_us=at_us,
        )
