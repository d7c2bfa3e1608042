"""Contacts of other channels than calls: a chat, an e-mail, whatever a service of its own brings.

Theory of operation. Another service (the *reporter*) wishes an agent for a contact (``EnqueueContact``); from then on the contact is in the
order of its queue like a caller, with skills, steps, priority and place. There is no switch between routing and the agent: the offer
stands in the log and in the agent's state, the agent takes it up or declines it by a wish (``HandleContact``), and what nobody takes up
within the queue's ring time ends as ``no_answer``, with what the center says about missed offers. Taken up, a contact is the agent's until
it is completed (with a result where the queue requires one), released (it waits again, at its old place) or its customer leaves
(``LeaveContact``). The work after a chat is part of it: it takes its share of the agent until it is completed.

All of it is answered after the append, so whoever wished knows what holds; said again, a wish changes nothing. A contact waits for as long
as it takes: of the queue's ways out only those to other queues are for it, for there is no line on which to say farewell. When the
document no longer has the channel, what waits is closed (``closed``) and what agents have is finished.
"""

from __future__ import annotations

import re

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import results, views
from services.routing.core.center import CALL
from services.routing.core.records import Contact
from services.routing.core.transfers import Transfers

CONTACT_ID = re.compile(r"[!-~]{1,128}")
REPORTER = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Channels(Transfers):
    """Handlers of wishes about contacts that are no calls."""

    def _refuse(self, request_id: str, slug: str, reason: str, status: int = 409) -> None:
        self._notes.append(i.Refuse(request_id, slug, reason, status))

    def _answer_contact(self, request_id: str, contact_id: str) -> None:
        self._answer = (request_id, "", contact_id)

    def _answer_closed(self, request_id: str, contact: Contact) -> None:
        self._notes.append(i.Answer(request_id, contact=views.closed_contact(contact.contact_id, contact)))

    # -- the reporter

    def _enqueue_wished(self, inp: i.EnqueueContact) -> None:
        if problem := self._enqueue_problem(inp):
            return self._refuse(inp.request_id, *problem)
        if inp.contact_id not in self.state.contacts:
            since_us = min(inp.waiting_since_us or self._now_us, self._now_us)
            self._emit(
                f.ContactQueued(
                    contact_id=inp.contact_id,
                    queue=inp.queue,
                    waiting_since_us=since_us,
                    node=inp.reporter,
                    priority=inp.priority,
                    skills=inp.skills,
                    language=inp.language,
                    ani=inp.address,
                    caller_name=inp.name,
                    entry_point=inp.entry_point,
                    customer=inp.customer,
                    started_at_us=since_us,
                    service_class=inp.service_class,
                    preferred_agent=inp.preferred_agent,
                    channel=inp.channel,
                )
            )
        return self._answer_contact(inp.request_id, inp.contact_id)

    def _enqueue_problem(self, inp: i.EnqueueContact) -> tuple[str, str, int] | None:
        """Slug, reason and status of what is wrong with the wish."""
        if inp.channel not in self.center.channels:
            known = ", ".join(self.center.channels) or "none"
            return "unknown-channel", f"expected one of {known}; found {inp.channel!r}", 422
        if not self.center.takes(inp.queue):
            return "unknown-queue", f"there is no queue {inp.queue!r}", 422
        if not CONTACT_ID.fullmatch(inp.contact_id):
            expected = f"expected 1 to 128 printable characters without blanks; found {inp.contact_id[:40]!r}"
            return "bad-contact-id", expected, 422
        if not REPORTER.fullmatch(inp.reporter):
            return "bad-reporter", f"expected a token such as chat; found {inp.reporter[:40]!r}", 422
        known_contact = self.state.contacts.get(inp.contact_id)
        if known_contact is not None and known_contact.channel != inp.channel:
            return "contact-exists", f"{inp.contact_id} is of the channel {known_contact.channel}", 409
        if inp.contact_id in self.state.closed:
            return "contact-closed", f"{inp.contact_id} has ended: {self.state.closed[inp.contact_id]}", 409
        return None

    def _leave_wished(self, inp: i.LeaveContact) -> None:
        contact = self._other(inp.request_id, inp.contact_id)
        if contact is None:
            return
        if contact.status == "talking":
            self._complete(contact, ended_by="caller", cause=inp.cause)
        else:
            self._withdraw_all(contact, inp.cause or "customer_left")
            self._close(contact, "abandoned", ended_by="caller", cause=inp.cause)
        self._answer_closed(inp.request_id, contact)

    def _other(self, request_id: str, contact_id: str) -> Contact | None:
        """The open contact of a wish, or a refusal."""
        contact = self.state.contacts.get(contact_id)
        if contact is None:
            self._refuse(request_id, "unknown-contact", f"there is no open contact {contact_id!r}", 404)
        elif contact.channel == CALL:
            self._refuse(request_id, "not-for-calls", f"{contact_id} is a call")
            return None
        return contact

    def _complete(self, contact: Contact, *, ended_by: str, cause: str = "") -> None:
        talk_ms = self._ms_since(contact.connected_at_us)
        self._close(contact, "completed", talk_ms=talk_ms, ended_by=ended_by, cause=cause)

    # -- the agent

    def _handle_wished(self, inp: i.HandleContact) -> None:
        contact = self._other(inp.request_id, inp.contact_id)
        if contact is None:
            return None
        handler = {
            "accept": self._accept,
            "decline": self._decline,
            "complete": self._completed,
            "release": self._release_contact,
        }.get(inp.action)
        if handler is None:
            expected = f"expected one of accept, decline, complete, release; found {inp.action!r}"
            return self._refuse(inp.request_id, "unknown-action", expected, 422)
        return handler(inp, contact)

    def _offer_to(self, inp: i.HandleContact, contact: Contact) -> str:
        """The open offer of the contact to the agent; empty after a refusal."""
        one = self.state.agent(inp.agent_id).at_hand.get(contact.contact_id)
        if one is not None and one.offer_id:
            return one.offer_id
        gone = f"{contact.contact_id} is not offered to {inp.agent_id}"
        self._refuse(inp.request_id, "not-offered", gone)
        return ""

    def _accept(self, inp: i.HandleContact, contact: Contact) -> None:
        if contact.status == "talking" and contact.agent_id == inp.agent_id:
            return self._answer_contact(inp.request_id, contact.contact_id)
        offer_id = self._offer_to(inp, contact)
        if not offer_id:
            return None
        offer = self.state.offers[offer_id]
        self._withdraw_all(contact, "answered_by_other", but=offer_id)
        ring_ms = self._ms_since(offer.made_at_us)
        self._emit(
            f.OfferEnded(offer_id, contact.contact_id, inp.agent_id, "accepted", "", ring_ms),
        )
        self._emit(
            f.ContactConnected(
                contact_id=contact.contact_id,
                offer_id=offer_id,
                agent_id=inp.agent_id,
                queue=contact.queue,
                wait_ms=self._ms_since(contact.waiting_since_us),
                connected_at_us=self._now_us,
                channel=contact.channel,
            )
        )
        self._settle_phone(inp.agent_id)
        return self._answer_contact(inp.request_id, contact.contact_id)

    def _decline(self, inp: i.HandleContact, contact: Contact) -> None:
        if offer_id := self._offer_to(inp, contact):
            offer = self.state.offers[offer_id]
            self._end_offer(offer, "declined", inp.by, self._ms_since(offer.made_at_us))
            self._answer_contact(inp.request_id, contact.contact_id)

    def _has(self, inp: i.HandleContact, contact: Contact) -> bool:
        if contact.status == "talking" and contact.agent_id == inp.agent_id:
            return True
        self._refuse(inp.request_id, "not-your-contact", f"{inp.agent_id} does not have {contact.contact_id}")
        return False

    def _completed(self, inp: i.HandleContact, contact: Contact) -> None:
        if not self._has(inp, contact):
            return None
        rules = self.center.queues.get(contact.queue)
        codes = self._dispositions(contact.queue)
        if inp.code and inp.code not in codes:
            expected = f"expected one of {', '.join(sorted(codes)) or 'none'}; found {inp.code!r}"
            return self._refuse(inp.request_id, "unknown-disposition", expected, 422)
        if rules is not None and rules.disposition_required and not inp.code:
            return self._refuse(inp.request_id, "disposition-required", f"{contact.queue} asks for a result")
        self._complete(contact, ended_by="agent" if inp.by == "agent" else "system", cause=inp.by)
        if inp.code:
            self._emit(
                f.WrapUpEnded(inp.agent_id, contact.contact_id, inp.code, "completed", queue=contact.queue)
            )
        return self._answer_closed(inp.request_id, contact)

    def _release_contact(self, inp: i.HandleContact, contact: Contact) -> None:
        """Give it back: it waits at its place, and comes to this agent again only when there is nobody else."""
        if not self._has(inp, contact):
            return
        self._emit(self._queued(contact, contact.queue))
        self._settle_phone(inp.agent_id)
        self._give_up_channels()
        if contact.contact_id in self.state.contacts:
            self._answer_contact(inp.request_id, contact.contact_id)
        else:
            self._answer_closed(inp.request_id, contact)

    # -- the document

    def _give_up_channels(self) -> None:
        gone = [
            c
            for c in self.state.contacts.values()
            if c.channel != CALL and c.channel not in self.center.channels and c.status != "talking"
        ]
        for contact in sorted(gone, key=lambda c: (c.waiting_since_us, c.contact_id)):
            self._withdraw_all(contact, "channel_removed")
            self._close(
                contact, "overflowed", result=results.CLOSED, ended_by="system", cause="channel_removed"
            )
