"""A simulated switch in the test's own loop, a raw event socket client, scripted phones and controllers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.common.clock import SystemClock
from services.common.ports import free_port
from services.simswitch.channel import Channel
from services.simswitch.ledger import Ledger
from services.simswitch.node import EventSocket, build
from services.simswitch.originate import early_media, ringing
from services.simswitch.switch import Switch

ROOT = Path(__file__).parents[2]
DIALPLAN = ROOT / "freeswitch" / "conf" / "dialplan" / "peyvand.xml"
WAIT_S = 10.0


class Phone:
    """Answers, declines, is busy, refuses with a SIP status (``486``), sends early media first (``early``), says nothing
    at all (``unheard``), or rings for ever; ``legs`` are the invites it got."""

    def __init__(self, does: str = "answer", after_s: float = 0.05) -> None:
        self.does = does
        self.after_s = after_s
        self.legs: list[Channel] = []

    def invite(self, leg: Channel) -> None:
        self.legs.append(leg)
        loop = asyncio.get_running_loop()
        if self.does.isdigit():
            loop.call_soon(leg.refuse, int(self.does))
            return
        if self.does == "unheard":
            return
        if self.does == "early":
            early_media(leg)
        else:
            ringing(leg)
        if self.does in ("answer", "early"):
            loop.call_later(self.after_s, leg.mark_answered)
        elif self.does == "decline":
            loop.call_later(self.after_s, lambda: leg.end("CALL_REJECTED", by="agent"))
        elif self.does == "busy":
            leg.end("USER_BUSY", by="agent")


class Client:
    """A raw client: sends commands, keeps every frame in the order of arrival."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.replies: asyncio.Queue[tuple[dict[str, str], str]] = asyncio.Queue()
        self.events: list[dict[str, Any]] = []
        self.raw = bytearray()
        self.closed = asyncio.Event()
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, port: int, *commands: str) -> Client:
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        assert (await client.reply())[0] == {"Content-Type": "auth/request"}
        for command in ("auth ClueCon", *commands):
            assert "+OK" in await client.send(command), command
        return client

    async def _read(self) -> None:
        try:
            while True:
                head = (await self._reader.readuntil(b"\n\n")).decode()
                self.raw += head.encode()
                headers = dict(line.split(": ", 1) for line in head.strip().split("\n"))
                body = b""
                if length := int(headers.get("Content-Length", 0)):
                    body = await self._reader.readexactly(length)
                    self.raw += body
                if headers.get("Content-Type") == "text/event-json":
                    async with self._news:
                        self.events.append(json.loads(body))
                        self._news.notify_all()
                else:
                    self.replies.put_nowait((headers, body.decode()))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()

    def write(self, text: str) -> None:
        self._writer.write(text.encode())

    async def reply(self) -> tuple[dict[str, str], str]:
        return await asyncio.wait_for(self.replies.get(), WAIT_S)

    async def send(self, command: str) -> str:
        self.write(command + "\n\n")
        headers, body = await self.reply()
        return body if "api/response" in headers.get("Content-Type", "") else headers.get("Reply-Text", "")

    async def api(self, command: str) -> str:
        return (await self.send("api " + command)).strip()

    async def event(self, name: str, **wanted: str) -> dict[str, Any]:
        """The first event of this name with these headers, waited for."""

        def found() -> dict[str, Any] | None:
            for event in self.events:
                if event["Event-Name"] == name and all(
                    event.get(k.replace("_", "-")) == v for k, v in wanted.items()
                ):
                    return event
            return None

        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: found() is not None), WAIT_S)
        event = found()
        assert event is not None
        return event

    def labels(self, who: dict[str, str]) -> list[list[str]]:
        """Leg and label of each channel event in the order of arrival, in the form of the recorded vectors."""
        out = []
        for event in self.events:
            leg = who.get(event.get("Unique-ID", ""))
            if leg is None or event["Event-Name"] in ("CALL_UPDATE", "CODEC", "PRIVATE_COMMAND"):
                continue
            label = event["Event-Name"]
            if label.startswith("CHANNEL_EXECUTE"):
                label += " " + event["Application"]
            elif label == "CHANNEL_STATE":
                label += " " + event["Channel-State"]
            elif label == "CHANNEL_CALLSTATE":
                label += " " + event["Channel-Call-State"]
            out.append([leg, label, event.get("Answer-State"), event.get("Channel-State-Number")])
        return out

    async def close(self) -> None:
        self._task.cancel()
        self._writer.close()


class Ivr:
    """A controller that the switch connects to; each call is a `Call`."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[Client] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.calls.put_nowait(Client(reader, writer))

        self._server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def call(self) -> Client:
        return await asyncio.wait_for(self.calls.get(), WAIT_S)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()


class Lab:
    """A switch with its event socket and ledger."""

    def __init__(self, switch: Switch, socket_: EventSocket, ledger: Ledger, ivr: Ivr) -> None:
        self.switch = switch
        self.socket = socket_
        self.ledger = ledger
        self.ivr = ivr
        self.clients: list[Client] = []

    async def client(self, *commands: str) -> Client:
        client = await Client.connect(self.socket.port, *commands)
        self.clients.append(client)
        return client

    def caller(self, entry: str = "1000", context: str = "public", uuid: str = "") -> Channel:
        return self.switch.place_call(
            context=context, destination=entry, caller_number="0912", caller_name="Cust", uuid=uuid
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that is true inside the switch."""

        async def poll() -> None:
            while not condition():
                await asyncio.sleep(0.005)

        await asyncio.wait_for(poll(), WAIT_S)


@asynccontextmanager
async def lab(
    tmp_path: Path, *, dialplan: str = "", ivr_up: bool = False, name: str = "fs1", **overrides: str
) -> AsyncIterator[Lab]:
    """A running lab; without ``ivr_up`` the dialplan's ``socket`` finds nobody. ``dialplan`` replaces the real one."""
    file = DIALPLAN
    if dialplan:
        file = tmp_path / "conf" / "dialplan" / "x.xml"
        file.parent.mkdir(parents=True)
        file.write_text(f'<include><context name="public">{dialplan}</context></include>')
    ivr = Ivr()
    await ivr.start()
    address = f"127.0.0.1:{ivr.port if ivr_up else free_port()}"
    ledger = Ledger(SystemClock(), name, tmp_path / "ledger.jsonl")
    switch = build(
        name=name,
        clock=SystemClock(),
        dialplan_file=file,
        overrides={
            "cc_ivr": address,
            "sounds_dir": str(tmp_path / "sounds"),
            "domain": "peyvand.local",
            **overrides,
        },
        cdr_spool=tmp_path / "cdr",
        recordings=tmp_path / "rec",
        observer=ledger,
    )
    socket_ = EventSocket(switch, "ClueCon")
    await socket_.start("127.0.0.1", 0)
    made = Lab(switch, socket_, ledger, ivr)
    try:
        yield made
    finally:
        for client in made.clients:
            await client.close()
        await ivr.stop()
        await socket_.stop()
        await switch.stop()
        await ledger.stop()


def normalise(text: str) -> str:
    """Ids replaced, so that two runs compare."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>", text)
