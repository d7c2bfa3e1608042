"""Records by HTTP POST, as mod_json_cdr sends them; and what becomes of those that nobody takes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from services.common.ports import free_port
from services.simswitch.cdr_post import CdrPoster
from tests.integration.simswitch_kit import lab


class Web:
    """A web server that gives these statuses, then 200; ``got`` are the first lines and bodies of its requests."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.url = ""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/cdr"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers["content-length"]))
        self.got.append((first, headers, body))
        status = self._statuses.pop(0) if self._statuses else 200
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    def stop(self) -> None:
        assert self._server is not None
        self._server.close()


async def test_a_record_is_posted_with_its_uuid_and_written_too(tmp_path: Path) -> None:
    web = Web()
    await web.start()
    async with lab(tmp_path) as sw:
        sw.switch.cdr_poster = CdrPoster([web.url])
        leg = sw.caller(uuid="L")
        await sw.until(lambda: leg.answered)
        leg.end("NORMAL_CLEARING", by="caller")
        await sw.until(lambda: bool(web.got))
        first, headers, body = web.got[0]
        assert first == "POST /cdr?uuid=L HTTP/1.1"
        assert (headers["content-type"], headers["user-agent"]) == ("application/json", "freeswitch-json/1.0")
        record = json.loads(body)
        assert record["variables"]["uuid"] == "L"
        assert record["variables"]["hangup_cause"] == "NORMAL_CLEARING"
        assert json.loads((tmp_path / "cdr" / "L.cdr.json").read_bytes()) == record
        await sw.switch.cdr_poster.stop()
    web.stop()


async def test_a_failure_goes_to_the_next_server_and_stays_there(tmp_path: Path) -> None:
    web = Web()
    await web.start()
    poster = CdrPoster(
        [f"http://127.0.0.1:{free_port()}/", web.url], retries=2, delay_s=0.01, errors=tmp_path
    )
    for uuid in ("a", "b"):
        poster.post(uuid, b"{}")
        async with asyncio.timeout(10):
            while not any(f"uuid={uuid} " in first for first, _, _ in web.got):
                await asyncio.sleep(0.01)
    assert [first.split()[1] for first, _, _ in web.got] == ["/cdr?uuid=a", "/cdr?uuid=b"]
    await poster.stop()
    assert not (tmp_path / "a.cdr.json").exists()
    web.stop()


async def test_what_nobody_takes_is_written_to_the_folder_of_errors(tmp_path: Path) -> None:
    web = Web(500, 503, 404)
    await web.start()
    poster = CdrPoster([web.url], retries=2, delay_s=0.01, errors=tmp_path)
    poster.post("x", b'{"a":1}')
    async with asyncio.timeout(10):
        while not (tmp_path / "x.cdr.json").exists():
            await asyncio.sleep(0.01)
    assert (tmp_path / "x.cdr.json").read_bytes() == b'{"a":1}'
    assert len(web.got) == 3, "retries are more tries than the first"
    await poster.stop()
    web.stop()
