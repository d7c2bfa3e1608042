"""The story of a contact in sentences: one a fact that people care for, in the order of time, in English and Persian. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

_FAILED: Final[dict[str, tuple[str, str]]] = {
    "no_answer": ("did not answer", "پاسخ نداد"),
    "busy": ("was busy", "مشغول بود"),
    "declined": ("declined it", "رد کرد"),
    "unreachable": ("could not be reached: no phone was registered", "در دسترس نبود: تلفنی ثبت نشده بود"),
    "withdrawn": ("was no longer needed: the customer had left or another agent was quicker", "دیگر لازم نبود: مشتری رفته بود یا همکار دیگری زودتر پاسخ داد"),
    "expired": ("was given up: nobody told in time what became of the ringing", "رها شد: خبری از زنگ نرسید"),
    "no_line": ("could not be called: every line was taken", "گرفته نشد: همه‌ی خط‌ها پر بودند"),
    "failed": ("could not be called", "گرفته نشد"),
    "machine": ("did not confirm", "تأیید نکرد"),
    "agent_left": ("had left", "رفته بود"),
}  # fmt: skip

_SENTENCES: Final[dict[str, tuple[str, str, str]]] = {
    "ivr.v1.ContactStarted": ("started", "{ani} called {entry_point}", "{ani} با {entry_point} تماس گرفت"),
    "ivr.v1.IvrStepTaken": ("menu", "Menu, {flow_node}: {result}", "منو، {flow_node}: {result}"),
    "ivr.v1.ContactHandedOver": ("handed_over", "Handed over to the queue {queue}", "سپرده شد به صف {queue}"),
    "ivr.v1.IvrEnded": ("menu_ended", "Ended in the menu: {outcome}", "پایان در منو: {outcome}"),
    "ivr.v1.SurveyAnswered": ("survey", "Survey, {question}: {score}", "نظرسنجی، {question}: {score}"),
    "routing.v1.ContactQueued": ("queued", "Waits in the queue {queue}", "در صف {queue} منتظر است"),
    "routing.v1.OfferMade": ("offered", "Offered to {agent_id}, try {attempt}", "پیشنهاد به {agent_id}، بار {attempt}"),
    "routing.v1.ContactConnected": ("connected", "Talks with {agent_id}", "گفتگو با {agent_id}"),
    "routing.v1.ContactTransferred": ("transferred", "{from_agent} passed it on to {target_kind} {target}", "{from_agent} آن را به {target} سپرد"),
    "routing.v1.TransferRefused": ("transfer_refused", "Could not be passed on to {target}: {reason}", "انتقال به {target} نشد: {reason}"),
    "routing.v1.ContactOverflowed": ("overflowed", "Left the queue {queue} for {reason}: {action} {target}", "خروج از صف {queue} به علت {reason}: {action} {target}"),
    "routing.v1.ContactPriorityChanged": ("priority", "Priority {previous} became {priority}", "اولویت از {previous} به {priority}"),
    "routing.v1.ContactClosed": ("closed", "Over: {result}", "پایان: {result}"),
    "routing.v1.WrapUpEnded": ("wrapped_up", "{agent_id} finished the after-call work: {disposition}", "{agent_id} کار پس از تماس را پایان داد: {disposition}"),
    "queue.v1.OfferRinging": ("ringing", "The phone of {agent_id} rings", "تلفن {agent_id} زنگ می‌خورد"),
    "queue.v1.OfferAnswered": ("picked_up", "{agent_id} picked up", "{agent_id} گوشی را برداشت"),
    "queue.v1.ContactHeld": ("held", "{agent_id} put the customer on hold", "{agent_id} مشتری را نگه داشت"),
    "queue.v1.ContactResumed": ("resumed", "{agent_id} talks on", "{agent_id} گفتگو را ادامه داد"),
    "queue.v1.ConsultStarted": ("consulted", "{from_agent_id} asks {agent_id}", "{from_agent_id} از {agent_id} می‌پرسد"),
    "queue.v1.ConsultEnded": ("consult_ended", "The consultation with {agent_id} ended: {outcome}", "پایان مشورت با {agent_id}: {outcome}"),
    "queue.v1.ConversationEnded": ("talked", "The conversation with {agent_id} ended, by {ended_by}", "پایان گفتگو با {agent_id}، از سوی {ended_by}"),
    "queue.v1.ContactGone": ("gone", "The customer left ({cause})", "مشتری رفت ({cause})"),
    "queue.v1.DispositionKeyed": ("disposition", "{agent_id} gave the result {code}", "{agent_id} نتیجه‌ی {code} را داد"),
    "queue.v1.SupervisionStarted": ("supervised", "{supervisor} listens", "{supervisor} گوش می‌دهد"),
    "queue.v1.CallbackAccepted": ("callback_accepted", "The customer took the callback", "مشتری تماس برگشتی را پذیرفت"),
    "queue.v1.CallbackAttempted": ("callback_attempted", "The customer was called back: {outcome}", "تماس برگشتی با مشتری: {outcome}"),
    "recording.v1.RecordingStored": ("recorded", "The recording is stored", "صدای ضبط‌شده ذخیره شد"),
    "reporting.v1.EvaluationGiven": ("evaluated", "Evaluated by {evaluator}", "ارزیابی {evaluator}"),
}  # fmt: skip


class _Fields(dict[str, Any]):
    """What a fact does not say is a dash."""

    def __missing__(self, key: str) -> str:
        return "–"


def why_failed(outcome: str) -> dict[str, str] | None:
    """Why an offer led to no conversation, by language; None for one that did or is still open."""
    if outcome in ("", "accepted"):
        return None
    en, fa = _FAILED.get(outcome, (outcome, outcome))
    return {"en": en, "fa": fa}


def steps(facts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sentences out of rows of ``v_facts`` whose payload is read: what, when, who, and the text by language."""
    found = []
    for fact in facts:
        known = _sentence(fact["type"].removeprefix("peyvand."), fact["payload"])
        if known is None:
            continue
        what, text = known
        found.append(
            {
                "at": fact["at"],
                "what": what,
                "text": text,
                "agent_id": fact["agent_id"],
                "queue": fact["queue"],
                "offer_id": fact["payload"].get("offer_id", ""),
                "fact_id": fact["id"],
            }
        )
    return found


def recorded(
    contact: Mapping[str, Any], segments: Iterable[Mapping[str, Any]], offers: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What records tell of a contact of which there are no facts (it was imported), in the form of facts for ``steps``."""
    found: list[dict[str, Any]] = []

    def tell(at: Any, type_: str, key: str, **payload: Any) -> None:
        if at is not None:
            names = {"agent_id": payload.get("agent_id", ""), "queue": payload.get("queue", "")}
            found.append({"at": at, "id": f"{key}:{type_}", "type": type_, "payload": payload, **names})

    for one in segments:
        key, queue, agent = one["segment_id"], one["queue"], one["agent_id"]
        if one["kind"] != "agent":
            tell(one["started_at"], "routing.v1.ContactQueued", key, queue=queue)
            if one["outcome"] == "overflowed":
                reason = contact["overflow_reason"]
                tell(one["ended_at"], "routing.v1.ContactOverflowed", key, queue=queue, reason=reason)
            continue
        about = {"queue": queue, "agent_id": agent, "offer_id": one["offer_id"]}
        tell(one["started_at"], "routing.v1.ContactConnected", key, **about)
        tell(one["ended_at"], "queue.v1.ConversationEnded", key, ended_by=one["ended_by"], **about)
    for offer in offers:
        told = {name: offer[name] for name in ("agent_id", "queue", "offer_id", "outcome")}
        tell(offer["ended_at"], "routing.v1.OfferEnded", offer["offer_id"], **told)
    found.sort(key=lambda fact: fact["at"])
    if contact["state"] == "closed":
        result = contact["result"] or contact["outcome"]
        tell(contact["ended_at"], "routing.v1.ContactClosed", contact["contact_id"], result=result)
    return found


def _sentence(type_: str, payload: Mapping[str, Any]) -> tuple[str, dict[str, str]] | None:
    if type_ == "routing.v1.OfferEnded":
        why = why_failed(payload.get("outcome", ""))
        if why is None:
            return None
        agent = payload.get("agent_id", "")
        return "offer_failed", {language: f"{agent} {text}" for language, text in why.items()}
    if type_ not in _SENTENCES:
        return None
    what, en, fa = _SENTENCES[type_]
    fields = _Fields({name: value for name, value in payload.items() if value != ""})
    return what, {"en": en.format_map(fields), "fa": fa.format_map(fields)}
