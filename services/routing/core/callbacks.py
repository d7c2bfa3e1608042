"""Callbacks: a caller hangs up and keeps the place.

Theory of operation. ``CallbackAccepted`` closes the caller's contact with the result ``callback_taken`` and queues another one for
the same place in the same entry of the log: a contact without a leg (``no_leg``). It has the time at which the caller began
to wait, so it comes up exactly when the caller would have, neither sooner nor later, and it asks for the same skills.
When it comes up, an agent is reserved for it by an offer of the kind ``callback``: queue calls the customer and the agent, in
the order that the queue's settings say. As nobody is called without an agent, a customer who answers does not wait in a queue again.

The customer answers: queue reports ``ContactWaiting``, the contact has a leg from then on (``CallbackAnswered``) and is like any other;
if the agent is lost in that moment, the next one is offered it first. The customer does not answer: ``CallbackAttempted``; this contact
closes with the result ``callback_missed``, and the next attempt is a contact of its own, again at the old place, held back for the
pause between two attempts. A contact is one leg, so the id of each is the UUID of the leg that will be called:
``<callback>-cb<n>``, the callback being named by the contact that asked for it.

While nobody may be called (``callback:<queue>`` among the closed queues) a callback is in no order; it expires all the same.
"""

from __future__ import annotations

from msgspec.structs import replace

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import results
from services.routing.core.records import Contact
from services.routing.core.rules import Rules

KIND = "callback"
AGENT_LEFT_PAUSE_MS = 5_000
"""The agent put down while the customer was being called: nobody's attempt, but the customer's phone is given a moment."""
UNCOUNTED = frozenset({"agent_left"})
"""Outcomes that are not the customer's doing."""


class Callbacks(Rules):
    """Handlers of callbacks, for observations and wishes."""

    def _callback_accepted(self, inp: i.CallbackAccepted) -> None:
        contact = self.state.contacts.get(inp.contact_id)
        if contact is None or contact.no_leg or contact.status == "talking":
            return self._ignore("contact does not wait", contact_id=inp.contact_id)
        rules = self.center.queues.get(contact.queue)
        if rules is None or rules.callback is None:
            return self._ignore("queue calls nobody back", contact_id=inp.contact_id)
        if inp.number in self.center.do_not_call:
            return self._ignore("number is on the do-not-call list", contact_id=inp.contact_id)
        another = not inp.own_number
        if another and self._may_not_dial(
            inp.number, KIND, contact_id=inp.contact_id, actor="caller", anything=True
        ):
            return self._ignore("number may not be called", contact_id=inp.contact_id)
        self._withdraw_all(contact, "callback_taken")
        self._close(contact, KIND, result=results.CALLBACK_TAKEN, ended_by="caller", cause="callback")
        if self._standing(inp.number, contact.queue) is not None:
            return None  # Asked again: the older place is the better one, and one call is enough.
        if another:
            self._dialled(f"{contact.contact_id}-cb1", inp.number, KIND)
        return self._emit(
            replace(
                self._queued(contact, contact.queue),
                contact_id=f"{contact.contact_id}-cb1",
                requeued=False,
                node=self._node_for(contact.node),
                ani=inp.number,
                started_at_us=self._now_us,
                kind=KIND,
                callback_id=contact.contact_id,
                number=inp.number,
                no_leg=True,
                attempts=0,
                serial=1,
                expires_us=self._now_us + rules.callback.expires_ms * 1000,
            )
        )

    def _standing(self, number: str, queue: str) -> Contact | None:
        """The open callback to this number from this queue. A pass over the callbacks in line: once a caller who asks for one."""
        for contact_id in self.state.callbacks.values():
            contact = self.state.contacts[contact_id]
            if (contact.number, contact.queue) == (number, queue):
                return contact
        return None

    def _callback_attempted(self, inp: i.CallbackAttempted) -> None:
        contact = self.state.contacts.get(inp.contact_id)
        if contact is None or not contact.no_leg:
            return self._ignore("contact is no callback in line", contact_id=inp.contact_id)
        for offer_id in contact.rings:
            offer = self.state.offers[offer_id]
            if inp.agent_outcome:
                self._end_offer(offer, inp.agent_outcome, inp.cause)
            else:
                self._withdraw(offer, f"customer_{inp.outcome}", inp.kept_offer_id)
        return self._attempt_failed(contact, inp.outcome)

    def _attempt_failed(self, contact: Contact, outcome: str) -> None:
        """Close the contact of the attempt, and queue the next one unless it was the last."""
        rules = self.center.queues.get(contact.queue)
        settings = rules.callback if rules else None
        counted = outcome not in UNCOUNTED
        attempts = contact.attempts + counted
        self._close(contact, KIND, result=results.CALLBACK_MISSED, ended_by="system", cause=outcome)
        if settings is None or attempts >= settings.attempts:
            return None
        pause_ms = settings.pause_ms if counted else AGENT_LEFT_PAUSE_MS
        return self._emit(
            replace(
                self._queued(contact, contact.queue),
                contact_id=f"{contact.callback_id}-cb{contact.serial + 1}",
                requeued=False,
                node=self._node_for(contact.node),
                ani=contact.number,
                attempts=attempts,
                serial=contact.serial + 1,
                not_before_us=self._now_us + pause_ms * 1000,
            )
        )

    def _customer_answered(self, contact: Contact) -> None:
        # A call that an agent placed is nobody's callback; it is named by itself.
        self._emit(f.CallbackAnswered(contact.contact_id, contact.callback_id or contact.contact_id))

    def _served_otherwise(self, number: str) -> None:
        """The customer talks with an agent by a call of their own: nobody needs to call back for that."""
        for contact_id in [*self.state.callbacks.values()]:
            contact = self.state.contacts[contact_id]
            if number and contact.number == number and contact.status == "waiting":
                self._cancel_callback(contact, "called_again")

    def _cancel_callback(self, contact: Contact, cause: str, ended_by: str = "system") -> None:
        self._close(contact, KIND, result=results.CALLBACK_CANCELLED, ended_by=ended_by, cause=cause)

    def _forbid_calls(self) -> None:
        """Cancel the callbacks to numbers that may not be called any more."""
        for contact_id in sorted(self.state.callbacks.values()):
            contact = self.state.contacts[contact_id]
            if contact.status == "waiting" and contact.number in self.center.do_not_call:
                self._cancel_callback(contact, "do_not_call")
