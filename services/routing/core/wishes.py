"""What people and other services wish of routing, and why a wish is refused."""

from __future__ import annotations

import re

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import views
from services.routing.core.center import SYSTEM_REASONS
from services.routing.core.outbound import Outbound
from services.routing.core.records import ENGAGED, IN_TALK, Contact

PRESENCES = ("available", "break", "offline")
PRIORITIES = range(-100, 101)
EXTENSION_MS = 60_000
"""What a wrap-up without a time of its own is extended by."""

CALLBACK_NUMBER = re.compile(r"\+?[0-9]{3,24}")

AgentWish = i.SetAgentPresence | i.SetDisposition | i.SetWrapUp


class Wished(Outbound):
    """Handlers of wishes; each ends in an answer or a refusal."""

    def _answer_agent(self, request_id: str, agent_id: str) -> None:
        self._answer = (request_id, agent_id, "")

    def _answered(self, request_id: str, agent_id: str, contact_id: str) -> i.Answer:
        if contact_id in self.state.callbacks.values():
            shown = views.callback_state(self.state, self.index, contact_id, self._now_us)
            return i.Answer(request_id, callback=shown)
        if contact_id:
            return i.Answer(
                request_id, contact=views.contact_state(self.state, self.index, contact_id, self._now_us)
            )
        return i.Answer(request_id, views.agent_state(self.state, self.center, agent_id, self._now_us))

    def _repeated(self, inp: i.AnyInput) -> list[i.Output]:
        if isinstance(inp, AgentWish) and (agent_id := self._named(inp)):
            return [self._answered(inp.request_id, agent_id, "")]
        if isinstance(inp, i.SeatAgent):
            return [self._answered(inp.request_id, inp.agent_id, "")]
        if isinstance(inp, i.PlaceCall) and (agent_id := self._named(inp)):
            return [self._answered(inp.request_id, agent_id, "")]
        if isinstance(inp, i.SetContactPriority) and inp.contact_id in self.state.contacts:
            return [self._answered(inp.request_id, "", inp.contact_id)]
        if isinstance(inp, i.EnqueueContact | i.LeaveContact | i.HandleContact):
            if inp.contact_id in self.state.contacts:
                return [self._answered(inp.request_id, "", inp.contact_id)]
            return [i.Answer(inp.request_id, contact=views.closed_contact(inp.contact_id))]
        if isinstance(inp, i.ChangeCallback):
            if contact_id := self.state.callbacks.get(inp.callback_id):
                return [self._answered(inp.request_id, "", contact_id)]
            return [i.Answer(inp.request_id, callback=views.cancelled_callback(inp.callback_id))]
        return [i.Ignored("input was decided on before")]

    def _named(self, wish: AgentWish | i.PlaceCall) -> str | None:
        if wish.agent_id:
            known = self.state.agents.get(wish.agent_id)
            finishes = known is not None and (known.activity in ENGAGED or known.handles)
            return wish.agent_id if wish.agent_id in self.center.agents or finishes else None
        return self._agent_at(wish.extension)

    def _refuse_unknown(self, inp: AgentWish) -> None:
        who = f"id {inp.agent_id!r}" if inp.agent_id else f"extension {inp.extension!r}"
        self._refuse(inp.request_id, "unknown-agent", f"there is no agent with {who}", 404)

    def _presence_wished(self, inp: i.SetAgentPresence) -> None:
        agent_id = self._named(inp)
        if agent_id is None:
            return self._refuse_unknown(inp)
        if agent_id not in self.center.agents:
            gone = f"{agent_id} is gone from the document and only finishes a contact"
            return self._refuse(inp.request_id, "agent-removed", gone)
        agent = self.state.agent(agent_id)
        presence = inp.presence
        if presence == "toggle":
            presence = "available" if agent.presence == "offline" else "offline"
        if presence not in PRESENCES:
            expected = f"expected one of {', '.join(PRESENCES)}, toggle; found {inp.presence!r}"
            return self._refuse(inp.request_id, "unknown-presence", expected, 422)
        reason = inp.reason if presence == "break" else ""
        if reason and (reason in SYSTEM_REASONS or reason not in self.center.break_reasons):
            expected = (
                f"expected one of {', '.join(sorted(self.center.break_reasons)) or 'none'}; found {reason!r}"
            )
            return self._refuse(inp.request_id, "unknown-reason", expected, 422)
        if presence != "offline" and self._agent_at(phone := self._phone_of(agent_id)) != agent_id:
            taken = f"{self._agent_at(phone)} is at {phone}, the phone of {agent_id}"
            return self._refuse(inp.request_id, "phone-taken", taken)
        if (agent.presence, agent.reason) != (presence, reason):
            self._set_presence(agent_id, presence, reason, inp.actor or "agent")
        return self._answer_agent(inp.request_id, agent_id)

    def _disposition_wished(self, inp: i.SetDisposition) -> None:
        agent_id = self._named(inp)
        if agent_id is None:
            return self._refuse_unknown(inp)
        agent = self.state.agent(agent_id)
        if agent.activity != "wrap_up":
            return self._refuse(inp.request_id, "not-in-wrap-up", f"agent {agent_id} is not in wrap-up")
        if inp.code not in (codes := self._dispositions(agent.queue)):
            expected = f"expected one of {', '.join(sorted(codes)) or 'none'}; found {inp.code!r}"
            return self._refuse(inp.request_id, "unknown-disposition", expected, 422)
        self._dispose(agent_id, inp.code, inp.by or "http")
        return self._answer_agent(inp.request_id, agent_id)

    def _wrap_up_wished(self, inp: i.SetWrapUp) -> None:
        agent_id = self._named(inp)
        if agent_id is None:
            return self._refuse_unknown(inp)
        handler = {
            "request": self._request_wrap_up,
            "extend": self._extend_wrap_up,
            "end": self._leave_wrap_up,
        }.get(inp.action)
        if handler is None:
            expected = f"expected one of request, extend, end; found {inp.action!r}"
            return self._refuse(inp.request_id, "unknown-action", expected, 422)
        return handler(inp, agent_id)

    def _request_wrap_up(self, inp: i.SetWrapUp, agent_id: str) -> None:
        """Wrap up after this conversation although the queue does not ask for it."""
        agent = self.state.agent(agent_id)
        if agent.activity not in IN_TALK:
            return self._refuse(inp.request_id, "not-talking", f"agent {agent_id} has no conversation")
        if not agent.wants_wrap_up:
            self._emit(f.WrapUpChanged(agent_id, agent.contact_id, "requested", by=inp.by or "http"))
        return self._answer_agent(inp.request_id, agent_id)

    def _extend_wrap_up(self, inp: i.SetWrapUp, agent_id: str) -> None:
        agent = self.state.agent(agent_id)
        rules = self.center.queues.get(agent.queue)
        if agent.activity != "wrap_up" or rules is None:
            return self._refuse(inp.request_id, "not-in-wrap-up", f"agent {agent_id} is not in wrap-up")
        now_ms = agent.limit_ms or rules.wrap_up_ms
        limit_ms = min(now_ms + (rules.wrap_up_ms or EXTENSION_MS), rules.wrap_up_max_ms)
        if limit_ms <= now_ms:
            longest = f"a wrap-up in {agent.queue} lasts {rules.wrap_up_max_ms // 1000} s at most"
            return self._refuse(inp.request_id, "wrap-up-at-limit", longest)
        self._emit(f.WrapUpChanged(agent_id, agent.contact_id, "extended", limit_ms, by=inp.by or "http"))
        return self._answer_agent(inp.request_id, agent_id)

    def _leave_wrap_up(self, inp: i.SetWrapUp, agent_id: str) -> None:
        agent = self.state.agent(agent_id)
        rules = self.center.queues.get(agent.queue)
        if agent.activity != "wrap_up":
            return self._refuse(inp.request_id, "not-in-wrap-up", f"agent {agent_id} is not in wrap-up")
        if rules is not None and rules.wrap_up_mode == "timed_no_exit":
            return self._refuse(inp.request_id, "wrap-up-timed", "this wrap-up lasts its whole time")
        if rules is not None and rules.disposition_required and not agent.disposition:
            return self._refuse(inp.request_id, "disposition-required", f"{agent.queue} asks for a result")
        self._end_wrap_up(agent_id, "", inp.by or "http")
        return self._answer_agent(inp.request_id, agent_id)

    def _priority_wished(self, inp: i.SetContactPriority) -> None:
        contact = self.state.contacts.get(inp.contact_id)
        if contact is None:
            unknown = f"there is no open contact {inp.contact_id!r}"
            return self._refuse(inp.request_id, "unknown-contact", unknown, 404)
        if inp.priority not in PRIORITIES:
            expected = f"expected a priority from {PRIORITIES[0]} to {PRIORITIES[-1]}; found {inp.priority}"
            return self._refuse(inp.request_id, "bad-priority", expected, 422)
        if contact.status == "talking":
            return self._refuse(inp.request_id, "contact-answered", f"{inp.contact_id} talks already")
        if contact.priority != inp.priority:
            self._emit(
                f.ContactPriorityChanged(
                    inp.contact_id, inp.priority, contact.priority, inp.actor or "supervisor"
                )
            )
        self._answer = (inp.request_id, "", inp.contact_id)
        return None

    def _callback_wished(self, inp: i.ChangeCallback) -> None:
        contact_id = self.state.callbacks.get(inp.callback_id)
        if contact_id is None:
            unknown = f"there is no callback {inp.callback_id!r} in line"
            return self._refuse(inp.request_id, "unknown-callback", unknown, 404)
        contact = self.state.contacts[contact_id]
        if contact.status != "waiting":
            running = f"callback {inp.callback_id} is being called now"
            return self._refuse(inp.request_id, "callback-running", running)
        if inp.action == "cancel":
            gone = views.cancelled_callback(inp.callback_id, contact)
            self._cancel_callback(contact, "wish", ended_by=inp.actor or "supervisor")
            self._notes.append(i.Answer(inp.request_id, callback=gone))
            return None
        if inp.action != "reschedule":
            expected = f"expected one of cancel, reschedule; found {inp.action!r}"
            return self._refuse(inp.request_id, "unknown-action", expected, 422)
        return self._reschedule(inp, contact)

    def _reschedule(self, inp: i.ChangeCallback, contact: Contact) -> None:
        number = inp.number or contact.number
        if not CALLBACK_NUMBER.fullmatch(number):
            expected = f"expected 3 to 24 digits, perhaps after a plus sign; found {number[:40]!r}"
            return self._refuse(inp.request_id, "bad-number", expected, 422)
        if number in self.center.do_not_call:
            return self._refuse(inp.request_id, "do-not-call", f"{number} is on the do-not-call list")
        if number != contact.number and (
            no := self._may_not_dial(
                number,
                "callback",
                contact_id=contact.contact_id,
                request_id=inp.request_id,
                actor=inp.actor or "supervisor",
                anything=True,
            )
        ):
            return self._refuse(inp.request_id, no.slug, no.detail)
        if inp.not_before_us >= contact.expires_us:
            return self._refuse(
                inp.request_id, "after-expiry", f"callback {inp.callback_id} expires before that time", 422
            )
        self._emit(
            f.CallbackChanged(
                contact.contact_id,
                contact.callback_id,
                max(0, inp.not_before_us),
                number,
                inp.actor or "supervisor",
                contact.number,
                contact.hold_until_us,
            )
        )
        # The place is the old one; matching may give it to an agent within this very input.
        self._notes.append(
            i.Answer(
                inp.request_id,
                callback=views.callback_state(self.state, self.index, contact.contact_id, self._now_us),
            )
        )
        return None
