"""Nodes of surveys: that there is to be one after the conversation, and the questions that it asks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.center.words import Part, Retries, Timeout, Token


class SurveyNode(Part):
    """Say that after the conversation the caller is asked by another flow, or, with ``false``, by none, whatever the queue says."""

    survey: Token | Literal[False]
    then: Token


class RateNode(Part):
    """Ask for a number by keys. It is an answer of the survey: a fact with the question, the agent and the queue."""

    rate: Token
    """The prompt."""
    question: Token
    """What the reports call it: ``csat``."""
    least: Annotated[int, Field(ge=0, le=1)] = 1
    most: Annotated[int, Field(ge=2, le=10)] = 5
    """0 to 10 is what the Net Promoter Score is computed from."""
    timeout_s: Timeout = 5
    retries: Retries = 1
    invalid: Token | None = None
    """Prompt after a key that is no answer."""
    then: Token
    otherwise: Token


class CommentNode(Part):
    """Ask for some words, record them after a beep. They are an answer of the survey, and no message that somebody deals with."""

    comment: Token
    """The prompt."""
    question: Token
    most_s: Annotated[int, Field(ge=5, le=300)] = 60
    silence_s: Annotated[int, Field(ge=2, le=30)] = 4
    """So much silence ends it; the key # does at once."""
    then: Token
    """Also when nothing was said."""


class QueueSurvey(Part):
    """Who is asked after a conversation of the queue. What the flow said before the queue (``survey``) comes first."""

    flow: Token
    share: Annotated[int, Field(ge=1, le=100)] = 100
    """So many of a hundred callers."""
    least_talk_s: Annotated[int, Field(ge=0, le=3600)] = 10
    """After a shorter conversation nobody is asked."""


SURVEY_MOST_S = 300
"""So long the survey after a conversation may take; then the call ends."""
