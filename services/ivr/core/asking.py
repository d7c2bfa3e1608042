"""Asking somebody else: a web service, who the caller is, how a queue is.

An answer that never comes is an answer: each request has a timer of ours beside the time limit of whoever carries it out. What came for
another step, or after the timer, is passed over.
"""

from __future__ import annotations

from services.center.callers import normal
from services.ivr.core.choosing import holding
from services.ivr.core.inputs import Inputs
from services.ivr.core.model import QueueSeen, SendRequest, WebAnswered
from services.ivr.core.nodes import AskWeb, Look, LookUp
from services.ivr.core.web import Customer, Request, customer_of, fill, taken


class Asking(Inputs):
    """The part of a step that deals with web services and customers."""

    def ask_web(self, node: AskWeb) -> None:
        self._send(node.request)

    def look_up(self, node: LookUp) -> None:
        """Who the caller is: by the center's own table, else by whom it asks."""
        number = normal(self.state.variables.get(node.variable, ""), node.country)
        known = node.customers.get(number)
        if known is not None:
            self._known(node, known, "table")
        elif node.request is None or not number:
            self.leave("unknown")
            self.next = node.otherwise
        else:
            self._send(node.request, number=number)

    def _send(self, request: Request, **more: str) -> None:
        filled = fill(request, {**self.state.variables, **more})
        if filled is None:
            self.web_failed("address")
            return
        s = self.state
        s.mode = "asking"
        self.out.append(
            SendRequest(
                request=s.step_no,
                service=request.service,
                method=request.method,
                target=filled.target,
                headers=filled.headers,
                body=filled.body,
                timeout_ms=request.timeout_ms,
                tries=request.tries,
                wanted=tuple((wanted.variable, wanted.path) for wanted in request.wanted),
            )
        )
        self.arm(request.timeout_ms * request.tries + self.limits.web_grace_ms)

    def web_answered(self, event: WebAnswered) -> None:
        """An answer came, of whatever status."""
        node = self.node
        assert isinstance(node, AskWeb | LookUp)
        assert node.request is not None
        if isinstance(node, AskWeb) and event.status in node.status:
            self.leave(f"status:{event.status}")
            self.next = node.status[event.status]
            return
        if not 200 <= event.status <= 299:
            self.web_failed(f"status:{event.status}")
            return
        values = taken(node.request, event.values)
        if values is None:
            self.web_failed("value")
        elif isinstance(node, LookUp):
            self._known(node, customer_of(values), "answered")
        else:
            self.set_variables(values)
            self.leave("answered")
            self.next = node.then

    def web_failed(self, reason: str) -> None:
        """No answer, or none that is of use."""
        node = self.node
        assert isinstance(node, AskWeb | LookUp)
        self.leave(f"failed:{reason}")
        self.next = node.otherwise

    def looked(self, seen: QueueSeen | None) -> None:
        node = self.node
        assert isinstance(node, Look)
        if seen is None:
            self.leave("unknown")
            self.next = node.otherwise
            return
        holds = holding(node, seen)
        self.leave(holds or "otherwise")
        self.next = node.then if holds else node.otherwise

    def _known(self, node: LookUp, known: Customer, result: str) -> None:
        self.set_variables(
            {
                "customer": known.customer,
                "customer_name": known.name,
                "customer_class": known.service_class,
                "customer_agent": known.agent,
            }
        )
        if known.language in node.languages:
            self.speak_in(known.language)
        self.leave(result)
        self.next = node.then

    def set_variables(self, values: dict[str, str]) -> None:
        """Set variables; the language goes with what is heard."""
        s = self.state
        s.variables = {**s.variables, **values}
