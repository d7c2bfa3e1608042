"""The center documents as what the core needs."""

from __future__ import annotations

from collections.abc import Iterable

from services.center import Center, CenterSet, prompt_file
from services.center.callback import Callback
from services.center.flow_survey import SURVEY_MOST_S, QueueSurvey
from services.center.model import Queue
from services.center.numbers import LANGUAGES, digits, file_string, number_prompts
from services.center.rights import CenterCalls
from services.center.sentences import WAITED_S, position_files, spoken_minutes, wait_files, waited_files
from services.center.teams import supervisors_of_agent, supervisors_of_queue
from services.center.trunks import outside_of
from services.center.waiting import BeforeBridge as Before
from services.queue.core.plan import (
    BeforeBridge,
    CallbackPlan,
    CenterPlan,
    Plans,
    QueuePlan,
    Slot,
    SurveyPlan,
    Watch,
)
from services.queue.core.schedule import MESSAGE, POSITION, WAIT

_NOTHING = "-"  # No number begins so.


def plans_of(centers: CenterSet, sounds_dir: str) -> Plans:
    """Return the plans of all centers. ``sounds_dir`` is FreeSWITCH's sounds folder as FreeSWITCH sees it."""
    return Plans(centers=tuple(_plan(center, sounds_dir) for center in centers.centers))


def _plan(center: Center, sounds_dir: str) -> CenterPlan:
    fallback = {number: entry.fallback_queue for number, entry in center.entry_points.items()}
    fallback[""] = fallback[center.default_entry_point]
    return CenterPlan(
        tenant=center.tenant,
        revision=center.revision,
        languages=tuple(center.languages),
        queues={
            name: QueuePlan(
                name=name,
                music=queue.music,
                welcome=queue.welcome or "",
                schedule=_schedule(queue),
                keys=frozenset(queue.keys),
                wrap_up_ms=queue.wrap_up_limit_s * 1000,
                recording=queue.recording,
                parallel=queue.strategy == "ring_all",
                callback=_callback(queue.callback, center.calls) if queue.callback is not None else None,
                dispositions=_keyed(queue.dispositions) if queue.dispositions else None,
                before_bridge=_before(queue.before_bridge) if queue.before_bridge is not None else None,
                survey=_survey(queue.survey) if queue.survey is not None else None,
                caller_id=queue.caller_id or "",
            )
            for name, queue in _queues(center).items()
        },
        fallback_queue=fallback,
        prompts={
            (name, language): prompt_file(sounds_dir, center, language, name)
            for name, texts in center.prompts.items()
            for language in texts
        }
        | {
            (name, language): prompt_file(sounds_dir, center, language, name)
            for language in center.languages
            for name in digits("0123456789", language)
        },
        dispositions=_keyed(d.code for d in center.dispositions),
        outage_wait_ms=center.limits.outage_wait_s * 1000,
        outage_transfer=center.limits.outage_transfer or "",
        outage_prompt=center.limits.outage_prompt or "sorry",
        message_most_s=center.voicemail.most_s,
        message_silence_s=center.voicemail.silence_s,
        message_thanks=center.voicemail.thanks,
        flows=frozenset(center.flows),
        survey_most_ms=SURVEY_MOST_S * 1000,
        do_not_call=frozenset(center.do_not_call),
        outside=outside_of(center.trunks, center.routes),
        inside=frozenset(agent.extension for agent in center.agents.values()) | center.entry_points.keys(),
        agent_languages={
            name: agent.language for name, agent in center.agents.items() if agent.language is not None
        },
        waits=_waits(center, sounds_dir),
        watch=_watch(center),
    )


def _keyed(codes: Iterable[str]) -> frozenset[str]:
    """Those that are one digit: a key."""
    return frozenset(code for code in codes if len(code) == 1 and code.isdigit())


def _waits(center: Center, sounds_dir: str) -> dict[str, dict[int, tuple[str, ...]]]:
    """What says how long somebody has waited, where a queue has it said."""
    if not any(
        q.before_bridge and q.before_bridge.whisper and q.before_bridge.whisper.wait
        for q in _queues(center).values()
    ):
        return {}
    return {
        language: {
            seconds: tuple(
                prompt_file(sounds_dir, center, language, prompt)
                for prompt in waited_files(seconds, language)
            )
            for seconds in WAITED_S
        }
        for language in center.languages
    }


def _before(before: Before) -> BeforeBridge:
    whisper = before.whisper
    return BeforeBridge(
        name=(whisper.name or "") if whisper is not None else "",
        wait=whisper is not None and whisper.wait,
        why=whisper is not None and whisper.why,
        caller=before.caller or "",
        most_ms=before.most_s * 1000,
    )


def _survey(survey: QueueSurvey) -> SurveyPlan:
    return SurveyPlan(flow=survey.flow, share=survey.share, least_talk_ms=survey.least_talk_s * 1000)


def _watch(center: Center) -> Watch | None:
    if not center.teams:
        return None
    return Watch(
        agents={agent: supervisors_of_agent(center, agent) for agent in center.agents},
        queues={queue: supervisors_of_queue(center, queue) for queue in center.queues},
    )


def _queues(center: Center) -> dict[str, Queue]:
    """The queues, and those that are gone from the document but may still have callers."""
    return {name: gone.queue for name, gone in center.retired.items()} | dict(center.queues)


def _callback(callback: Callback, calls: CenterCalls) -> CallbackPlan:
    """A number that a caller keys is the center's to pay: without prefixes of the queue's own it must be one that is allowed to all."""
    return CallbackPlan(
        key=callback.key,
        after_ms=(callback.offer.after_s or 0) * 1000 if callback.offer else 0,
        expected_ms=(callback.offer.expected_s or 0) * 1000 if callback.offer else 0,
        every_ms=callback.offer.every_s * 1000 if callback.offer else 0,
        confirm=callback.confirm,
        another_number=callback.another_number,
        prefixes=tuple(callback.prefixes),
        caller_id=callback.caller_id or "",
        dial_ms=callback.dial_s * 1000,
        others=() if callback.prefixes else tuple(calls.allowed or (_NOTHING,)),
        forbidden=tuple(calls.forbidden),
    )


def _schedule(queue: Queue) -> dict[str, Slot]:
    slots: dict[str, Slot] = {}
    if (place := queue.announce_position) is not None:
        slots[POSITION] = Slot(
            first_ms=(place.first_s or place.every_s) * 1000,
            every_ms=place.every_s * 1000,
            up_to=place.up_to or 0,
            only_shorter=place.only_shorter,
        )
    if (wait := queue.announce_wait) is not None:
        slots[WAIT] = Slot(
            first_ms=(wait.first_s or wait.every_s) * 1000,
            every_ms=wait.every_s * 1000,
            only_shorter=wait.only_shorter,
        )
    for i, messages in enumerate(queue.messages):
        slots[f"{MESSAGE}.{i}"] = Slot(
            first_ms=messages.first_s * 1000,
            every_ms=(messages.every_s or 0) * 1000,
            prompts=tuple(messages.prompts),
        )
    return slots


def spoken(
    center: Center, queue: str, language: str, sounds_dir: str, *, what: str, position: int, wait_ms: int
) -> tuple[str, int]:
    """Return what speaks the place (``what`` position) or the expected wait (wait), and the minutes that stand for the wait.

    The file is empty when there is nothing to say, or when the center has no prompts or no numbers for the language.
    """
    configured = _queues(center).get(queue)
    if configured is None or position < 1:
        return "", 0
    minutes = spoken_minutes(wait_ms) or 0
    if what == POSITION and (place := configured.announce_position) is not None:
        names = {
            candidate: position_files(position, candidate, place.prompt, as_ordinal=place.ordinal)
            for candidate in _speakable(center, language)
        }
        return _first_complete(center, names, sounds_dir), minutes
    if what == WAIT and minutes and (wait := configured.announce_wait) is not None:
        names = {
            candidate: wait_files(minutes, candidate, wait.prompt)
            for candidate in _speakable(center, language)
        }
        return _first_complete(center, names, sounds_dir), minutes
    return "", minutes


def _speakable(center: Center, language: str) -> list[str]:
    return [candidate for candidate in center.language_order(language) if candidate in LANGUAGES]


def _first_complete(center: Center, names: dict[str, list[str]], sounds_dir: str) -> str:
    """The sentence in the first language that has all of its prompts, as one file to play."""
    for language, prompts in names.items():
        numbers = number_prompts(language)
        if all(prompt in numbers or language in center.prompts.get(prompt, {}) for prompt in prompts):
            return file_string(prompt_file(sounds_dir, center, language, prompt) for prompt in prompts)
    return ""
