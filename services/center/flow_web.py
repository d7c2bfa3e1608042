"""Nodes that ask somebody outside: a web service, and who the caller is."""

from __future__ import annotations

from services.center.web import Request, Status, Wanted
from services.center.words import Part, Token, Variable

LOOKED_UP = ("customer", "customer_name", "customer_class", "customer_agent")
"""What a look-up sets; what is not known of a customer is empty."""


class HttpNode(Request):
    """Ask a web service and put what it answers into variables."""

    into: dict[Variable, Wanted] = {}
    """Variables by where their value stands in the answer: a text, a number, true or false."""
    status: dict[Status, Token] = {}
    """Ways of their own for answers that are no failure: ``{"404": unknown}``; no variable is set on them."""
    then: Token
    otherwise: Token
    """Every failure: no answer in time, another status than 200 to 299, no JSON, a value that is not there."""


class LookupNode(Part):
    """Find out who calls, by number: in ``customers``, else by ``customer_lookup``. Also changes the language to theirs."""

    lookup: Variable
    """What has the number: ``caller``."""
    then: Token
    otherwise: Token
    """Nobody knows, or nobody could be asked."""
