"""The center documents as what the core needs."""

from __future__ import annotations

from services.center import Center, CenterSet, prompt_file
from services.center.numbers import file_string, number_prompts, position_files
from services.queue.core.plan import CenterPlan, Plans, QueuePlan


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
                position_every_ms=queue.announce_position.every_s * 1000 if queue.announce_position else 0,
                wrap_up_ms=queue.wrap_up_limit_s * 1000,
                recording=queue.recording,
                parallel=queue.strategy == "ring_all",
            )
            for name, queue in center.queues.items()
        },
        fallback_queue=fallback,
        prompts={
            (name, language): prompt_file(sounds_dir, center, language, name)
            for name, texts in center.prompts.items()
            for language in texts
        },
        dispositions=frozenset(d.code for d in center.dispositions if len(d.code) == 1 and d.code.isdigit()),
        outage_wait_ms=center.limits.outage_wait_s * 1000,
        outage_transfer=center.limits.outage_transfer or "",
        outage_prompt=center.limits.outage_prompt or "sorry",
    )


def position_file(center: Center, queue: str, position: int, language: str, sounds_dir: str) -> str:
    """Return what speaks a place in the queue, ``""`` when the center has no prompts or no numbers for the language."""
    configured = center.queues.get(queue)
    if configured is None or configured.announce_position is None or position < 1:
        return ""
    base = configured.announce_position.prompt
    for candidate in center.language_order(language):
        if not all(candidate in center.prompts.get(f"{base}-{part}", {}) for part in ("before", "after")):
            continue
        try:
            number_prompts(candidate)
        except ValueError:
            continue
        names = position_files(position, candidate, base)
        return file_string(prompt_file(sounds_dir, center, candidate, name) for name in names)
    return ""
