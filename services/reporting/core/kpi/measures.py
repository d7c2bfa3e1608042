"""Every measure, once: name, formula in words and counts, unit, who defines it so, and whether more is better.

Sources of the definitions: ICMI, "Service Level Calculations" (2005) for F1 to F5; COPC for occupancy; the glossaries of Amazon Connect
and Genesys for the rest, as far as they agree.
"""

from __future__ import annotations

from typing import Final

from services.reporting.core.kpi.counts import COUNTS
from services.reporting.core.kpi.model import MS, Better, Cost, Measure, Quantile, Text, Unit

_SERVED: Final = {"answered": 1, "abandoned": 1}
_SL_BESIDE: Final = (
    "offered",
    "answered",
    "answered_within",
    "abandoned",
    "abandoned_within",
    "abandoned_short",
)
_HANDLING: Final = {"talking_ms": 1, "held_ms": 1, "after_ms": 1, "handling_ms": 1}


def _t(en: str, fa: str) -> Text:
    return {"en": en, "fa": fa}


def _plain(group: str, ids: str, *, better: Better = "") -> list[Measure]:
    """Counts that are measures as they are; durations in seconds."""
    found = []
    for name in ids.split():
        count = COUNTS[name]
        in_ms = count.unit == "milliseconds" and name.endswith("_ms")
        found.append(
            Measure(
                id=f"{name[:-3]}_time" if in_ms else name,
                group=group,
                name=count.name,
                words=count.words,
                unit="seconds" if in_ms else count.unit,
                better=better,
                origin="raw count",
                top={name: 1},
                factor=MS if in_ms else 1,
            )
        )
    return found


def _ratio(
    id: str,
    group: str,
    en: str,
    fa: str,
    words: str,
    top: dict[str, int],
    bottom: dict[str, int],
    *,
    better: Better,
    unit: Unit = "share",
    origin: str = "common",
    factor: float = 1,
    beside: tuple[str, ...] = (),
) -> Measure:
    return Measure(id, group, _t(en, fa), words, unit, better, origin, top, bottom, factor, beside)


def _service_level(
    id: str, en: str, fa: str, words: str, top: dict[str, int], bottom: dict[str, int], origin: str
) -> Measure:
    return _ratio(id, "service", en, fa, words, top, bottom, better="up", origin=origin, beside=_SL_BESIDE)


_SERVICE: Final = [
    _service_level(
        "service_level", "Service level", "سطح خدمت",
        "answered within T / (answered + abandoned), abandons before S left out of both",
        {"answered_within": 1}, _SERVED | {"abandoned_short": -1}, "F3 without short abandons (ICMI #3, Mitel's short abandons)",
    ),
    _service_level(
        "service_level_f1", "Service level F1", "سطح خدمت F1",
        "(answered within T + abandoned within T) / (answered + abandoned)",
        {"answered_within": 1, "abandoned_within": 1}, _SERVED, "ICMI #1, Asterisk SL2",
    ),
    _service_level(
        "service_level_f2", "Service level F2", "سطح خدمت F2",
        "answered within T / answered", {"answered_within": 1}, {"answered": 1}, "ICMI #2, Asterisk SL",
    ),
    _service_level(
        "service_level_f3", "Service level F3", "سطح خدمت F3",
        "answered within T / (answered + abandoned)", {"answered_within": 1}, _SERVED, "ICMI #3",
    ),
    _service_level(
        "service_level_f4", "Service level F4", "سطح خدمت F4",
        "answered within T / (answered + abandoned after T)",
        {"answered_within": 1}, _SERVED | {"abandoned_within": -1}, "ICMI #4",
    ),
    _service_level(
        "service_level_f5", "Service level F5", "سطح خدمت F5",
        "(answered within T + abandoned before S) / (answered + abandoned)",
        {"answered_within": 1, "abandoned_short": 1}, _SERVED, "ICMI #5",
    ),
    _ratio(
        "abandon_rate", "service", "Abandon rate", "نرخ رهاشدن",
        "(abandoned - abandoned before S) / (offered - abandoned before S)",
        {"abandoned": 1, "abandoned_short": -1}, {"offered": 1, "abandoned_short": -1},
        better="down", origin="Genesys, Mitel", beside=("abandoned", "abandoned_short", "offered"),
    ),
    _ratio(
        "abandon_rate_all", "service", "Abandon rate with short ones", "نرخ رهاشدن با کوتاه‌ها",
        "abandoned / offered", {"abandoned": 1}, {"offered": 1}, better="down", origin="Genesys",
    ),
    _ratio(
        "answer_rate", "service", "Answer rate", "نرخ پاسخ", "answered / offered", {"answered": 1}, {"offered": 1}, better="up",
    ),
    _ratio(
        "overflow_rate", "service", "Overflow rate", "نرخ سرریز", "overflowed / offered",
        {"overflowed": 1}, {"offered": 1}, better="down",
    ),
    _ratio(
        "asa", "service", "Average speed of answer", "میانگین زمان پاسخ", "waits of the answered / answered",
        {"wait_answered_ms": 1}, {"answered": 1}, better="down", unit="seconds", factor=MS,
        origin="Amazon Connect, Average queue answer time",
    ),
    _ratio(
        "abandon_time", "service", "Average time to abandon", "میانگین زمان تا رهاشدن", "waits of the abandoned / abandoned",
        {"wait_abandoned_ms": 1}, {"abandoned": 1}, better="", unit="seconds", factor=MS,
    ),
    Measure(
        "longest_wait", "service", _t("Longest wait", "بیشترین انتظار"), "the longest of all waits", "seconds", "down",
        "common", {"wait_max_ms": 1}, factor=MS,
    ),
]  # fmt: skip

_HANDLING_TIME: Final = [
    _ratio(
        "aht", "handling", "Average handle time", "میانگین زمان رسیدگی",
        "(talk + hold + after-call work) / handled", {"talk_ms": 1, "acw_ms": 1}, {"handled": 1},
        better="down", unit="seconds", factor=MS, origin="Amazon Connect; the talk is counted with its holds", beside=("hold_ms",),
    ),
    _ratio(
        "att", "handling", "Average talk", "میانگین گفتگو", "talk without hold / handled",
        {"talk_ms": 1, "hold_ms": -1}, {"handled": 1}, better="", unit="seconds", factor=MS,
    ),
    _ratio(
        "average_hold", "handling", "Average hold", "میانگین نگه‌داری", "hold / handled",
        {"hold_ms": 1}, {"handled": 1}, better="down", unit="seconds", factor=MS,
    ),
    _ratio(
        "acw", "handling", "Average after-call work", "میانگین کار پس از تماس", "after-call work / handled",
        {"acw_ms": 1}, {"handled": 1}, better="down", unit="seconds", factor=MS, origin="Amazon Connect",
    ),
    Measure(
        "talk_without_hold_time", "handling", _t("Talk", "گفتگو"), "talk without hold", "seconds", "", "raw count",
        {"talk_ms": 1, "hold_ms": -1}, factor=MS,
    ),
    _ratio(
        "hold_share", "handling", "Conversations with a hold", "گفتگوهای با نگه‌داری", "conversations with a hold / handled",
        {"held": 1}, {"handled": 1}, better="down",
    ),
    _ratio(
        "transfer_rate", "handling", "Transfer rate", "نرخ انتقال", "conversations that the agent passed on / handled",
        {"transferred": 1}, {"handled": 1}, better="down",
    ),
    _ratio(
        "contact_transfer_rate", "contacts", "Contacts passed on", "تماس‌های انتقالی",
        "contacts that were passed on at least once / contacts handled",
        {"contacts_passed_on": 1}, {"contacts_handled": 1}, better="down",
    ),
    _ratio(
        "average_contact", "contacts", "Average length of contacts", "میانگین مدت تماس", "start to end / contacts that are over",
        {"total_ms": 1}, {"contacts_over": 1}, better="", unit="seconds", factor=MS,
    ),
    _ratio(
        "fcr", "contacts", "First contact resolution", "حل در نخستین تماس",
        "first contacts without a further one in the window / first contacts (answered; same customer or number; the window has to be over)",
        {"resolved_at_first": 1}, {"first_contacts": 1}, better="up", origin="WFM Labs, the repeat-call definition",
    ),
]  # fmt: skip

_AGENT: Final = [
    _ratio(
        "occupancy", "agents", "Occupancy", "درصد اشغال",
        "(talking + holding + wrapping up + handling messages) / available",
        _HANDLING, {"available_ms": 1}, better="",
        origin="COPC: time with contacts / time logged in and ready",
    ),
    _ratio(
        "utilisation", "agents", "Utilisation", "بهره‌وری",
        "(talking + holding + wrapping up + handling messages + own calls) / logged in, breaks included",
        _HANDLING | {"own_call_ms": 1}, {"logged_in_ms": 1}, better="up",
        origin="(talk + hold + ACW + other productive) / paid time, which is taken to be the time logged in",
    ),
    _ratio(
        "ready_share", "agents", "Ready share", "سهم آمادگی", "available / logged in",
        {"available_ms": 1}, {"logged_in_ms": 1}, better="up", beside=("break_ms",),
    ),
    _ratio(
        "non_response", "agents", "Non-response", "بی‌پاسخی", "offers missed / offers",
        {"offers_missed": 1}, {"offers": 1}, better="down", origin="Amazon Connect; offers withdrawn because the customer left are not missed",
        beside=("offers_accepted",),
    ),
]  # fmt: skip

_QUALITY: Final = [
    _ratio(
        "csat", "quality", "Satisfaction", "رضایت مشتری", "scores of 4 or 5 / scores of scales from 1 to 5",
        {"csat_satisfied": 1}, {"csat_answers": 1}, better="up", origin="share of the two highest of five",
    ),
    _ratio(
        "nps", "quality", "Net Promoter Score", "شاخص خالص مروجان", "100 x (9 or 10 - 0 to 6) / scores of scales from 0 to 10",
        {"nps_promoters": 1, "nps_detractors": -1}, {"nps_answers": 1}, better="up", unit="points", factor=100,
        origin="Reichheld 2003", beside=("nps_promoters", "nps_detractors"),
    ),
    _ratio(
        "evaluation", "quality", "Evaluation", "ارزیابی", "points given / points that can be had",
        {"evaluation_points": 1}, {"evaluation_most": 1}, better="up", beside=("evaluated",),
    ),
    _ratio(
        "mos_caller", "quality", "MOS of callers' legs", "کیفیت صدا، تماس‌گیرنده", "mean opinion scores / legs measured",
        {"caller_mos_milli": 1}, {"caller_legs_measured": 1}, better="up", unit="mos", factor=MS, origin="FreeSWITCH rtp_audio_in_mos",
    ),
    _ratio(
        "jitter_caller", "quality", "Jitter of callers' legs", "لرزش، تماس‌گیرنده", "jitter / legs measured",
        {"caller_jitter_us": 1}, {"caller_legs_measured": 1}, better="down", unit="milliseconds", factor=MS, origin="FreeSWITCH's RTP statistics",
    ),
    _ratio(
        "loss_caller", "quality", "Loss of callers' legs", "گم‌شدن بسته، تماس‌گیرنده", "share of packets lost / legs measured",
        {"caller_loss_ppm": 1}, {"caller_legs_measured": 1}, better="down", factor=1e-6, origin="FreeSWITCH's RTP statistics",
    ),
    _ratio(
        "mos_agent", "quality", "MOS of agents' legs", "کیفیت صدا، کارشناس", "mean opinion scores / legs measured",
        {"agent_mos_milli": 1}, {"agent_legs_measured": 1}, better="up", unit="mos", factor=MS, origin="FreeSWITCH rtp_audio_in_mos",
    ),
    _ratio(
        "jitter_agent", "quality", "Jitter of agents' legs", "لرزش، کارشناس", "jitter / legs measured",
        {"agent_jitter_us": 1}, {"agent_legs_measured": 1}, better="down", unit="milliseconds", factor=MS, origin="FreeSWITCH's RTP statistics",
    ),
    _ratio(
        "loss_agent", "quality", "Loss of agents' legs", "گم‌شدن بسته، کارشناس", "share of packets lost / legs measured",
        {"agent_loss_ppm": 1}, {"agent_legs_measured": 1}, better="down", factor=1e-6, origin="FreeSWITCH's RTP statistics",
    ),
]  # fmt: skip


_PERSIAN: Final = {0.5: "۵۰", 0.9: "۹۰", 0.95: "۹۵"}


def _quantiles(
    stem: str, en: str, fa: str, words: str, source: str, column: str, where: str, digest: str, count: str
) -> list[Quantile]:
    return [
        Quantile(
            id=f"{stem}_p{level * 100:.0f}",
            group="service" if stem == "wait" else "handling",
            name=_t(f"{en}, {level:.0%}", f"{fa}، صدک {_PERSIAN[level]}"),
            words=f"{words}: {level:.0%} were not longer",
            source="queue_segments" if source == "queue" else "agent_segments",
            column=column,
            where=where,
            level=level,
            digest=digest,
            count=count,
        )
        for level in _PERSIAN
    ]


_COSTS: Final = [
    Cost("cost_users", "cost", _t("Cost of users", "هزینه‌ی کاربران"), "price of a user and month x users' months", ("users",), ("user_months",)),
    Cost("cost_lines", "cost", _t("Cost of lines", "هزینه‌ی خط‌ها"), "price of a line and month x lines x months", ("lines",), ("months",)),
    Cost("cost_minutes", "cost", _t("Cost of minutes", "هزینه‌ی دقیقه‌ها"), "price of a minute x billed minutes of all legs", ("minutes",), ("billed_ms",)),
    Cost("cost_contacts", "cost", _t("Cost by channel", "هزینه‌ی کانال‌ها"), "price of each contact's channel, added up", ("contacts",), ("contact_prices",)),
    Cost("cost_variable", "cost", _t("Variable cost", "هزینه‌ی متغیر"), "minutes and contacts", ("minutes", "contacts"), ("billed_ms", "contact_prices")),
    Cost(
        "variable_cost_per_contact", "cost", _t("Variable cost per contact", "هزینه‌ی متغیر هر تماس"),
        "(minutes + contacts) / contacts handled", ("minutes", "contacts"), ("billed_ms", "contact_prices", "contacts_handled"), "contacts_handled",
    ),
    Cost(
        "cost_total", "cost", _t("Cost", "هزینه"), "users + lines + minutes + contacts",
        ("users", "lines", "minutes", "contacts"), ("user_months", "months", "billed_ms", "contact_prices"),
    ),
    Cost(
        "cost_per_contact", "cost", _t("Cost per contact", "هزینه‌ی هر تماس"), "(users + lines + minutes + contacts) / contacts handled",
        ("users", "lines", "minutes", "contacts"), ("user_months", "months", "billed_ms", "contact_prices", "contacts_handled"), "contacts_handled",
    ),
]  # fmt: skip

_ALL: Final[tuple[Measure | Quantile | Cost, ...]] = (
    *_plain("contacts", "received contacts_answered contacts_abandoned hung_up_in_menu served_by_menu contacts_other contacts_open"),
    *_plain("contacts", "callbacks callbacks_answered outbound outbound_answered contacts_handled contacts_passed_on contacts_held"),
    *_plain("service", "offered answered answered_within"),
    *_plain("service", "abandoned abandoned_within abandoned_short overflowed transferred_out other_ended", better="down"),
    *_plain("service", "still_open"),
    *_SERVICE,
    *_quantiles("wait", "Wait of the answered", "انتظار پاسخ‌داده‌ها", "waits of the answered", "queue", "wait_ms", "outcome = 'answered'", "wait_state", "answered"),
    *_plain("handling", "handled transferred talk_ms hold_ms acw_ms"),
    *_HANDLING_TIME,
    *_quantiles("talk", "Talk with hold", "گفتگو با نگه‌داری", "talks, holds included", "agent", "talk_ms", "", "talk_state", "handled"),
    *_plain("agents", "logged_in_ms available_ms break_ms idle_ms offered_ms talking_ms held_ms after_ms handling_ms closing_ms own_call_ms unreachable_ms"),
    *_plain("agents", "presence_ms busy_ms"),
    *_plain("agents", "offers offers_accepted"),
    *_plain("agents", "offers_missed", better="down"),
    *_AGENT,
    *_plain("quality", "csat_answers nps_answers evaluated"),
    *_QUALITY,
    *_plain("cost", "billed_ms"),
    *_COSTS,
)  # fmt: skip

MEASURES: Final = {measure.id: measure for measure in _ALL}
