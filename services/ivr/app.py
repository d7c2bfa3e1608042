"""The shell of ivr: takes calls from FreeSWITCH, finds their center, and serves each in a task of its own."""

from __future__ import annotations

import resource

import msgspec
import structlog

from services.center import Center, CenterSet, EntryPoint, open_centers
from services.center.flow_survey import SURVEY_MOST_S
from services.common.bus import Bus
from services.common.clock import Clock
from services.common.errors import ConfigError
from services.common.esl import OutboundServer
from services.common.parts import start_bus
from services.common.runtime import Runtime
from services.common.sentences import Sentences
from services.common.webclient import WebClient
from services.ivr import api
from services.ivr.adapters import channel, code_call, dialled_call
from services.ivr.adapters.call import Call, Session, Surroundings
from services.ivr.adapters.flows import flows_of, plan_of, survey_plan
from services.ivr.adapters.looking import Agents, Queues
from services.ivr.adapters.outbox import Outbox
from services.ivr.adapters.speech import SpeechOfProcess
from services.ivr.adapters.trunks import Trunks
from services.ivr.adapters.understanding import Recognisers
from services.ivr.adapters.web import Web
from services.ivr.config import IvrSettings
from services.ivr.core.interpreter import Interpreter
from services.ivr.core.nodes import Flow, Limits

log = structlog.get_logger()

EVENTS = ("DTMF", "CHANNEL_BRIDGE")
"""What calls hear of their channels beside its end and that of applications: see ``channel.event_of``."""


class Ivr:
    """Everything between the outbound socket and the bus; knows neither gevent nor NATS."""

    def __init__(
        self,
        settings: IvrSettings,
        clock: Clock,
        bus: Bus,
        outbox: Outbox,
        centers: CenterSet,
        web: WebClient,
    ) -> None:
        self._bus = bus
        self._sounds_dir = settings.ivr_sounds_dir
        self._limits = Limits(max_steps=settings.ivr_max_steps, max_time_ms=settings.ivr_max_time_s * 1000)
        survey_ms = min(self._limits.max_time_ms, SURVEY_MOST_S * 1000)
        self._survey_limits = msgspec.structs.replace(self._limits, max_time_ms=survey_ms)
        self._around = Surroundings(
            clock=clock,
            put=outbox.put,
            sounds_dir=settings.ivr_sounds_dir,
            recordings_dir=settings.ivr_recordings_dir,
            look=Queues(bus).look,
            look_at_agent=Agents(bus).look,
            trunks=Trunks(bus, settings.ivr_transfer_dial, settings.ivr_transfer_ring_s),
            web=Web(web, settings.ivr_secrets_dir),
            speech=SpeechOfProcess(settings, clock),
            sentences=Sentences(),
        )
        self.use(centers)

    def use(self, centers: CenterSet) -> None:
        """Serve new calls from these centers; calls in progress keep what they started with."""
        self._centers = centers
        self._flows: dict[str, dict[str, Flow]] = {}
        self._interpreters: dict[tuple[str, str], Interpreter] = {}

    @property
    def recognisers(self) -> Recognisers:
        """Who understands callers."""
        return self._around.speech.recognisers

    async def run(self) -> None:
        """What is to be done beside the calls, until cancelled."""
        await self._around.speech.keep_forgetting()

    async def stop(self) -> None:
        """End what runs beside the calls."""
        await self._around.speech.stop()

    async def on_session(self, session: Session) -> None:
        """Serve one call. Whoever calls this lets the call go afterwards; the dialplan has the next action."""
        leg = channel.leg_of(session.channel)
        if leg.is_feature_code:
            center = self._centers.of_phone(leg.agent_extension) if leg.agent_extension else None
            await code_call.serve(session, leg, center, self._bus, self._sounds_dir)
            return
        if leg.dialled:
            await dialled_call.serve(session, leg, self._centers, self._bus, self._sounds_dir)
            return
        if (after := channel.conversation_of(session.channel)) is not None:
            await self._survey(session, leg, after)
            return
        center, number, entry = self._centers.entry(leg.entry)
        if number != leg.entry:
            log.warning("entry_point_unknown", called=leg.entry, served_as=number, tenant=center.tenant)
        interpreter = self._interpreter(center, number, entry)
        await Call(session, leg, center, number, entry, interpreter, self._around).run()

    async def _survey(self, session: Session, leg: channel.Leg, after: channel.Conversation) -> None:
        """Ask a caller whose conversation is over. Letting go ends the call: the dialplan hangs up."""
        center = self._centers.tenant(session.channel.variable("cc_tenant"))
        if center is None or after.flow not in center.flows:
            log.warning("survey_unknown", contact=leg.contact_id, flow=after.flow)
            return
        _, number, entry = self._centers.entry(leg.entry)
        interpreter = Interpreter(survey_plan(after.flow, self._flows_of(center)), self._survey_limits)
        await Call(session, leg, center, number, entry, interpreter, self._around, after).run()

    def _flows_of(self, center: Center) -> dict[str, Flow]:
        if center.tenant not in self._flows:
            self._flows[center.tenant] = flows_of(center)
        return self._flows[center.tenant]

    def _interpreter(self, center: Center, number: str, entry: EntryPoint) -> Interpreter:
        key = (center.tenant, number)
        if key not in self._interpreters:
            plan = plan_of(center, entry, self._flows_of(center))
            self._interpreters[key] = Interpreter(plan, self._limits)
        return self._interpreters[key]


class _Calls:
    """The listening socket as a part of the runtime."""

    def __init__(self, server: OutboundServer, grace_s: float) -> None:
        self._server = server
        self._grace_s = grace_s

    async def stop(self) -> None:
        await self._server.stop(self._grace_s)


_FILES_BESIDE = 100
"""Open files of the process that are no calls."""


def make_room(max_sessions: int) -> None:
    """See that every call can have its socket: a call that cannot be accepted is not refused, its caller hears nothing.

    Raises ConfigError when the system allows too few open files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max_sessions + _FILES_BESIDE
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigError(
            f"PEYVAND_IVR_MAX_SESSIONS={max_sessions} takes {needed} open files; the system allows {hard} (ulimit -Hn)"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


async def start(settings: IvrSettings, rt: Runtime) -> None:
    """Wire ivr. Calls are taken whether or not NATS is there: a caller does not wait for the books.

    Raises ConfigError for a port that cannot be had, and for more calls than the system has files for.
    """
    make_room(settings.ivr_max_sessions)
    bus = start_bus(settings, rt)
    outbox = Outbox(bus, settings.ivr_outbox_size)
    rt.add(outbox, "outbox")
    rt.spawn(outbox.run(), "outbox")

    watch = await open_centers(settings, bus, rt.clock, lambda centers: ivr.use(centers), ready=rt.ready)
    web = WebClient(settings.web_networks(), settings.ivr_web_ca)
    rt.add(web, "web")
    ivr = Ivr(settings, rt.clock, bus, outbox, watch.current, web)
    rt.add(ivr, "speech")
    rt.spawn(ivr.run(), "speech")
    watch.start()
    rt.add(watch, "centers")
    rt.app.include_router(api.router(lambda: watch))

    server = OutboundServer(
        settings.ivr_esl_host,
        settings.ivr_esl_port,
        ivr.on_session,
        max_sessions=settings.ivr_max_sessions,
        events=EVENTS,
    )
    rt.add(_Calls(server, settings.ivr_stop_grace_s), "calls")
    try:
        port = await server.start()
    except OSError as e:
        raise ConfigError(
            f"cannot listen on {settings.ivr_esl_host}:{settings.ivr_esl_port} "
            f"(PEYVAND_IVR_ESL_HOST, PEYVAND_IVR_ESL_PORT): {e}"
        ) from None
    rt.ready("esl", True, f"{settings.ivr_esl_host}:{port}")
