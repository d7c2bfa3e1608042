"""All counts of the catalogue: what is added up, over which rows."""

from __future__ import annotations

from typing import Final

from services.reporting.core.kpi.model import Count, SourceId, Text, Unit

_CALLED_IN: Final = "start NOT IN ('callback', 'outbound')"
_MENU: Final = "('hung_up', 'closed', 'transferred', 'finished', 'failed')"


def _t(en: str, fa: str) -> Text:
    return {"en": en, "fa": fa}


def _of(source: SourceId, unit: Unit, *rows: tuple[str, str, str, str, str, str]) -> list[Count]:
    """Rows of (id, en, fa, words, where, add)."""
    return [Count(id, source, _t(en, fa), words, where, add, unit) for id, en, fa, words, where, add in rows]


_CONTACTS: Final = [*_of(
    "contacts",
    "contacts",
    ("received", "Received", "دریافتی", "contacts that customers began", _CALLED_IN, ""),
    ("contacts_answered", "Contacts answered", "تماس‌های پاسخ‌داده", "of them: talked with an agent", f"{_CALLED_IN} AND outcome = 'answered'", ""),
    ("contacts_abandoned", "Contacts abandoned", "تماس‌های رهاشده", "of them: the customer left while waiting", f"{_CALLED_IN} AND outcome = 'abandoned'", ""),
    ("hung_up_in_menu", "Left in the menu", "قطع در منو", "of them: the customer left before any queue", f"{_CALLED_IN} AND outcome = 'hung_up'", ""),
    ("served_by_menu", "Ended by the menu", "پایان در منو", "of them: the flow ended it: closed, transferred, finished, failed", f"{_CALLED_IN} AND outcome IN {_MENU} AND outcome != 'hung_up'", ""),
    ("contacts_other", "Contacts that ended otherwise", "تماس‌های دیگر", "of them: overflowed, callback taken, end unseen and whatever else", f"{_CALLED_IN} AND outcome NOT IN {_MENU} AND outcome NOT IN ('answered', 'abandoned', 'open')", ""),
    ("contacts_open", "Contacts going on", "تماس‌های جاری", "of them: neither answered nor over", f"{_CALLED_IN} AND outcome = 'open'", ""),
    ("callbacks", "Callbacks", "تماس‌های برگشتی", "calls back to customers", "start = 'callback'", ""),
    ("callbacks_answered", "Callbacks answered", "تماس‌های برگشتی موفق", "of them: the customer talked with an agent", "start = 'callback' AND outcome = 'answered'", ""),
    ("outbound", "Outbound calls", "تماس‌های خروجی", "calls that agents placed", "start = 'outbound'", ""),
    ("outbound_answered", "Outbound calls answered", "تماس‌های خروجی موفق", "of them: somebody answered", "start = 'outbound' AND outcome = 'answered'", ""),
    ("contacts_handled", "Contacts handled", "تماس‌های انجام‌شده", "contacts of any start that talked with an agent", "outcome = 'answered'", ""),
    ("contacts_passed_on", "Contacts passed on", "تماس‌های انتقالی", "of the handled: an agent passed it on at least once", "outcome = 'answered' AND transfers > 0", ""),
    ("contacts_held", "Contacts with a hold", "تماس‌های با نگه‌داری", "of the handled: was on hold", "outcome = 'answered' AND hold_ms > 0", ""),
    ("caller_legs_measured", "Callers' legs measured", "پایه‌های سنجیده‌ی تماس‌گیرنده", "contacts whose caller's leg FreeSWITCH measured", "mos_milli > 0", ""),
),
    Count("total_ms", "contacts", _t("Time of contacts", "زمان تماس‌ها"), "start to end of contacts that are over", f"{_CALLED_IN} AND state = 'closed'", "total_ms", "milliseconds"),
    Count("contacts_over", "contacts", _t("Contacts that are over", "تماس‌های پایان‌یافته"), "contacts that are over", f"{_CALLED_IN} AND state = 'closed'"),
    Count("caller_mos_milli", "contacts", _t("Callers' MOS, sum", "جمع MOS تماس‌گیرنده"), "mean opinion scores of callers' legs, in thousandths", "mos_milli > 0", "mos_milli", "mos"),
    Count("caller_jitter_us", "contacts", _t("Callers' jitter, sum", "جمع لرزش تماس‌گیرنده"), "jitter of callers' legs, microseconds", "mos_milli > 0", "jitter_us", "milliseconds"),
    Count("caller_loss_ppm", "contacts", _t("Callers' loss, sum", "جمع گم‌شده‌ی تماس‌گیرنده"), "packets lost of callers' legs, in a million", "mos_milli > 0", "packet_loss_ppm", "share"),
    Count("billed_ms", "contacts", _t("Billed time", "زمان مکالمه‌ی صورت‌حساب"), "time of all legs from answer to end", "", "billed_ms", "milliseconds"),
]  # fmt: skip

_FIRST: Final = _of(
    "first_contacts",
    "contacts",
    ("first_contacts", "First contacts", "نخستین تماس‌ها", "answered contacts with nobody of the same customer or number in the window before, whose window after is over", "outcome = 'answered'", ""),
    ("resolved_at_first", "Resolved at first contact", "حل‌شده در نخستین تماس", "of them: no further contact in the window after", "outcome = 'answered' AND NOT again", ""),
)  # fmt: skip

_QUEUE: Final = [*_of(
    "queue_segments",
    "segments",
    ("offered", "Offered", "ورودی صف", "stays in queues; calls back, calls that agents place and waiting for one certain agent are none", "", ""),
    ("answered", "Answered", "پاسخ‌داده", "of the offered: ended with an agent", "outcome = 'answered'", ""),
    ("answered_within", "Answered in time", "پاسخ در زمان هدف", "answered within T", "outcome = 'answered' AND wait_ms <= target_ms", ""),
    ("abandoned", "Abandoned", "رهاشده", "of the offered: the customer left while waiting", "outcome = 'abandoned'", ""),
    ("abandoned_within", "Abandoned within T", "رهاشده در زمان هدف", "abandoned within T", "outcome = 'abandoned' AND wait_ms <= target_ms", ""),
    ("abandoned_short", "Short abandons", "رهاشده‌ی کوتاه", "abandoned before S; they are in abandoned, too", "outcome = 'abandoned' AND wait_ms < short_ms", ""),
    ("overflowed", "Overflowed", "سرریز", "of the offered: a limit of the queue sent them elsewhere", "outcome = 'overflowed'", ""),
    ("transferred_out", "Moved while waiting", "جابه‌جاشده در انتظار", "of the offered: somebody passed the contact on while it waited", "outcome = 'transferred'", ""),
    ("other_ended", "Ended otherwise", "پایان دیگر", "of the offered: callback taken, end unseen and whatever else", "outcome NOT IN ('answered', 'abandoned', 'overflowed', 'transferred', 'open')", ""),
    ("still_open", "Waiting", "در انتظار", "of the offered: go on", "outcome = 'open'", ""),
),
    Count("wait_answered_ms", "queue_segments", _t("Wait of the answered", "انتظار پاسخ‌داده‌ها"), "waits of the answered", "outcome = 'answered'", "wait_ms", "milliseconds"),
    Count("wait_abandoned_ms", "queue_segments", _t("Wait of the abandoned", "انتظار رهاشده‌ها"), "waits of the abandoned", "outcome = 'abandoned'", "wait_ms", "milliseconds"),
    Count("wait_max_ms", "queue_segments", _t("Longest wait", "بیشترین انتظار"), "the longest wait of all of them", "", "wait_ms", "milliseconds", greatest=True),
]  # fmt: skip

_AGENT: Final = [*_of(
    "agent_segments",
    "segments",
    ("handled", "Handled", "گفتگوها", "conversations of agents, calls back and calls that they placed included", "", ""),
    ("transferred", "Passed on", "انتقال‌داده", "of the handled: the agent passed the contact on, at once or after a consultation", "outcome IN ('transferred', 'consulted')", ""),
    ("held", "With a hold", "با نگه‌داری", "of the handled: the customer was on hold", "hold_ms > 0", ""),
    ("agent_legs_measured", "Agents' legs measured", "پایه‌های سنجیده‌ی کارشناس", "conversations whose agent's leg FreeSWITCH measured", "mos_milli > 0", ""),
),
    Count("talk_ms", "agent_segments", _t("Talk with hold", "گفتگو با نگه‌داری"), "conversations, holds included", "", "talk_ms", "milliseconds"),
    Count("hold_ms", "agent_segments", _t("Hold", "نگه‌داری"), "time on hold", "", "hold_ms", "milliseconds"),
    Count("acw_ms", "agent_segments", _t("After-call work", "کار پس از تماس"), "work after the conversations", "", "wrap_up_ms", "milliseconds"),
    Count("agent_mos_milli", "agent_segments", _t("Agents' MOS, sum", "جمع MOS کارشناس"), "mean opinion scores of agents' legs, in thousandths", "mos_milli > 0", "mos_milli", "mos"),
    Count("agent_jitter_us", "agent_segments", _t("Agents' jitter, sum", "جمع لرزش کارشناس"), "jitter of agents' legs, microseconds", "mos_milli > 0", "jitter_us", "milliseconds"),
    Count("agent_loss_ppm", "agent_segments", _t("Agents' loss, sum", "جمع گم‌شده‌ی کارشناس"), "packets lost of agents' legs, in a million", "mos_milli > 0", "packet_loss_ppm", "share"),
]  # fmt: skip

_STATES: Final = [
    Count(id, "agent_states", _t(en, fa), words, "", id, "milliseconds")
    for id, en, fa, words in (
        ("logged_in_ms", "Logged in", "حضور", "available or on a break"),
        ("available_ms", "Available", "آماده به کار", "available: ready for contacts or busy with one"),
        ("break_ms", "On a break", "استراحت", "on a break"),
        ("idle_ms", "Idle", "بیکار", "logged in, with nothing to do"),
        ("offered_ms", "Offered", "زنگ‌خوردن", "while a contact is offered to the agent"),
        ("talking_ms", "Talking", "در گفتگو", "in conversation"),
        ("held_ms", "Holding", "نگه‌داشتن تماس", "in conversation, the customer on hold"),
        ("after_ms", "Wrapping up", "کار پس از تماس", "in after-call work"),
        ("handling_ms", "Handling messages", "در حال پاسخ نوشتاری", "busy with contacts of other channels"),
        ("closing_ms", "Closing", "در حال بستن", "answered in vain, on the line still"),
        ("own_call_ms", "Own calls", "تماس شخصی", "in calls of the agent's own"),
        ("unreachable_ms", "Unreachable", "در دسترس نبودن", "logged in, the phone away"),
    )
]  # fmt: skip

_SPELLS: Final = [
    Count("presence_ms", "agent_spells", _t("Presence", "زمان حضور"), "available or on a break, by reason", "kind = 'presence'", "ms", "milliseconds"),
    Count("busy_ms", "agent_spells", _t("Busy", "زمان مشغولیت"), "in an activity that keeps the agent busy", "kind = 'activity'", "ms", "milliseconds"),
]  # fmt: skip

_OFFERS: Final = _of(
    "offers",
    "offers",
    ("offers", "Offers", "پیشنهادها", "offers made to agents", "", ""),
    ("offers_accepted", "Offers accepted", "پیشنهادهای پذیرفته", "of them: led to a conversation", "outcome = 'accepted'", ""),
    ("offers_missed", "Offers missed", "پیشنهادهای بی‌پاسخ", "of them: ended otherwise than accepted or withdrawn", "outcome NOT IN ('', 'accepted', 'withdrawn')", ""),
)  # fmt: skip

_ANSWERS: Final = _of(
    "answers",
    "answers",
    ("csat_answers", "CSAT answers", "پاسخ‌های رضایت", "scores of scales from 1 to 5", "least = 1 AND most = 5", ""),
    ("csat_satisfied", "Satisfied", "راضی", "of them: 4 or 5", "least = 1 AND most = 5 AND score >= 4", ""),
    ("nps_answers", "NPS answers", "پاسخ‌های NPS", "scores of scales from 0 to 10", "least = 0 AND most = 10", ""),
    ("nps_promoters", "Promoters", "مروجان", "of them: 9 or 10", "least = 0 AND most = 10 AND score >= 9", ""),
    ("nps_detractors", "Detractors", "منتقدان", "of them: 0 to 6", "least = 0 AND most = 10 AND score <= 6", ""),
)  # fmt: skip

_EVALUATIONS: Final = [*_of(
    "evaluations",
    "evaluations",
    ("evaluated", "Questions evaluated", "پرسش‌های ارزیابی", "questions of evaluations that were scored", "", ""),
),
    Count("evaluation_points", "evaluations", _t("Points given", "امتیاز داده‌شده"), "points given", "", "score", "points"),
    Count("evaluation_most", "evaluations", _t("Points that can be had", "امتیاز ممکن"), "points that can be had", "", "most", "points"),
]  # fmt: skip

_MONTHS: Final = [
    Count("months", "months", _t("Months", "ماه‌ها"), "months, by their share of time", unit="months"),
    Count("user_months", "months", _t("Users' months", "ماه‌کاربر"), "agents who were logged in during the month, by its share of time", unit="months"),
    Count("contact_prices", "contacts", _t("Prices of contacts", "بهای تماس‌ها"), "the price of each contact's channel, in millionths", "", "transform(toString(channel), {price_channels:Array(String)}, {prices:Array(Int64)}, toInt64(0))", "money"),
]  # fmt: skip

COUNTS: Final[dict[str, Count]] = {
    count.id: count
    for count in (
        *_CONTACTS,
        *_FIRST,
        *_QUEUE,
        *_AGENT,
        *_STATES,
        *_SPELLS,
        *_OFFERS,
        *_ANSWERS,
        *_EVALUATIONS,
        *_MONTHS,
    )
}
