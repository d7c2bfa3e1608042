"""Wires the simulated switch: centers and scenario in, event socket, people, ledger and HTTP out."""

from __future__ import annotations

import gc
from dataclasses import replace
from functools import partial
from random import Random

import structlog

from services import center
from services.common.errors import ConfigError
from services.common.runtime import Runtime
from services.simswitch import api, fault_api
from services.simswitch.cdr_post import CdrPoster
from services.simswitch.config import SimswitchSettings, cdr_urls, networks, nodes, overrides
from services.simswitch.core import scenario as sc
from services.simswitch.core.media import MISSING
from services.simswitch.ledger import Ledger
from services.simswitch.node import EventSocket, build
from services.simswitch.people import People
from services.simswitch.relay import connect
from services.simswitch.scenario_file import parse
from services.simswitch.switch import Switch

log = structlog.get_logger()


async def start(settings: SimswitchSettings, rt: Runtime) -> None:
    """Start everything. Raises ConfigError for a center, scenario or dialplan that cannot be used."""
    scenario = _scenario(settings)
    entries, agents, asking = _centers(settings)
    if scenario.entries:
        entries = dict(scenario.entries)
    ledger = Ledger(rt.clock, settings.simswitch_node, settings.simswitch_ledger, asking)
    rt.add(ledger)
    poster = _poster(settings)
    if poster is not None:
        rt.add(poster)
    sockets: dict[str, EventSocket] = {}
    switches: list[Switch] = []
    for name, port in nodes(settings).items():
        switch = _switch(settings, rt, name, ledger.of(name))
        switch.cdr_poster = poster
        socket = EventSocket(
            switch,
            settings.simswitch_esl_password,
            networks=networks(settings),
            deadline_s=settings.simswitch_esl_deadline_s,
        )
        await socket.start(settings.simswitch_esl_host, port)
        rt.add(socket, f"event-socket-{name}")
        rt.add(switch, f"switch-{name}")
        rt.spawn(switch.run_housekeeping(), f"housekeeping-{name}")
        switches.append(switch)
        sockets[name] = socket
    connect(switches)
    first = switches[0]
    people = People(
        first,
        scenario,
        Random(settings.simswitch_seed),  # noqa: S311 - behaviour, not secrets
        entries,
        agents,
        asking,
        more=switches[1:],
    )
    for switch in switches:
        if len(switches) > 1:
            switch.faults.on_down = partial(people.after_crash, switch)
        switch.faults.on_restarted = partial(people.after_restart, switch)

    def begin() -> None:
        for fault in scenario.faults:
            first.faults.begin(fault)
        people.begin_day()
        rt.spawn(people.arrivals(settings.simswitch_duration_s), "arrivals")

    rt.app.include_router(api.routes(people, sockets, ledger, begin))
    rt.app.include_router(fault_api.routes(people, sockets))
    if settings.simswitch_autostart:
        begin()
    # What exists now stays; the few thousand dicts that a call in flight keeps are not worth a search every 700 objects
    # (7 % of a call). The oldest have to be searched as well: a leg is a circle of objects that lives for minutes, and with
    # Python's usual tens between such searches an ended call kept 21 KB for hours (20 minutes at two calls a second: 50 MB).
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 2, 2)
    rt.ready(
        "event_socket",
        True,
        ", ".join(f"{settings.simswitch_esl_host}:{socket.port}" for socket in sockets.values()),
    )
    log.info(
        "simswitch_started",
        nodes=sorted(sockets),
        core_uuid=first.core_uuid,
        esl_port=sockets[first.name].port,
        ivr=first.globals.get("cc_ivr", ""),
        rate=scenario.rate,
        agents=len(agents),
        entries=sorted(entries),
        seed=settings.simswitch_seed,
    )


def _switch(settings: SimswitchSettings, rt: Runtime, name: str, observer: Ledger) -> Switch:
    switch = build(
        name=name,
        clock=rt.clock,
        dialplan_file=settings.simswitch_dialplan,
        overrides=overrides(settings),
        cdr_spool=settings.simswitch_cdr_spool,
        recordings=settings.simswitch_recordings,
        missing_file_ms=settings.simswitch_missing_file_ms or MISSING,
        observer=observer,
    )
    switch.poll_s = settings.simswitch_event_poll_ms / 1000
    switch.event_queue = settings.simswitch_event_queue
    switch.heartbeat_s = settings.simswitch_heartbeat_s
    switch.speech = settings.simswitch_speech
    switch.limits.max_sessions = settings.simswitch_max_sessions
    switch.limits.sps = settings.simswitch_sps
    return switch


def _poster(settings: SimswitchSettings) -> CdrPoster | None:
    urls = cdr_urls(settings)
    if not urls:
        return None
    if settings.simswitch_cdr_errors is not None:
        settings.simswitch_cdr_errors.mkdir(parents=True, exist_ok=True)
    return CdrPoster(
        urls,
        retries=settings.simswitch_cdr_retries,
        delay_s=settings.simswitch_cdr_delay_s,
        errors=settings.simswitch_cdr_errors,
    )


def _scenario(settings: SimswitchSettings) -> sc.Scenario:
    scenario = sc.Scenario()
    if (path := settings.simswitch_scenario) is not None:
        try:
            scenario = parse(path.read_text(encoding="utf-8"), str(path))
        except OSError as e:
            raise ConfigError(f"{path}: {e.strerror} (PEYVAND_SIMSWITCH_SCENARIO)") from None
    if settings.simswitch_rate is not None:
        scenario = replace(scenario, rate=settings.simswitch_rate)
    if settings.simswitch_time_scale is not None:
        scenario = replace(scenario, time_scale=settings.simswitch_time_scale)
    return scenario


def _centers(settings: SimswitchSettings) -> tuple[dict[str, float], dict[str, str], frozenset[str]]:
    entries: dict[str, float] = {}
    agents: dict[str, str] = {}
    asking: frozenset[str] = frozenset()
    for document in center.load(settings.centers).centers:
        entries |= dict.fromkeys(document.entry_points, 1.0)
        agents |= {a.extension: document.text(a.name, "en") for a in document.agents.values()}
        asking |= center.asking_prompts(document)
    return entries, agents, asking
