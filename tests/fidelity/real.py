"""A real FreeSWITCH in the place of the lab switch of the recordings, on free loopback ports, in a folder of its own."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from services.common.ports import free_port
from tests.fidelity.lab import PASSWORD, write_lab
from tests.fidelity.player import Lab, Peer, connect
from tests.freeswitch.switch import find_binary

_MODULES: Final = (
    "console",
    "logfile",
    "event_socket",
    "commands",
    "dptools",
    "dialplan_xml",
    "sndfile",
    "native_file",
    "tone_stream",
    "loopback",
    "say_en",
    "sofia",
)

_PROFILE: Final = """\
<profile name="{name}"><settings>
  <param name="context" value="{context}"/>
  <param name="dialplan" value="XML"/>
  <param name="sip-ip" value="127.0.0.1"/>
  <param name="rtp-ip" value="127.0.0.1"/>
  <param name="sip-port" value="{port}"/>
  <param name="auth-calls" value="false"/>
  <param name="accept-blind-auth" value="true"/>
  <param name="inbound-codec-prefs" value="OPUS,G722,PCMU,PCMA,H264,VP8"/>
  <param name="outbound-codec-prefs" value="OPUS,G722,PCMU,PCMA,H264,VP8"/>
  <param name="rtp-timer-name" value="soft"/>
  <param name="dtmf-type" value="rfc2833"/>
  <param name="rfc2833-pt" value="101"/>
  <param name="suppress-cng" value="true"/>
  <param name="inbound-late-negotiation" value="true"/>
  <param name="manage-presence" value="{presence}"/>
</settings></profile>
"""

_MAIN: Final = """\
<?xml version="1.0"?>
<document type="freeswitch/xml">
  <X-PRE-PROCESS cmd="set" data="controller={controller}"/>
  <X-PRE-PROCESS cmd="set" data="domain=127.0.0.1"/>
  <X-PRE-PROCESS cmd="set" data="local_ip_v4=127.0.0.1"/>
  <X-PRE-PROCESS cmd="set" data="hold_music=tone_stream://%(200,800,440);loops=-1"/>
  <X-PRE-PROCESS cmd="set" data="sounds_dir={sounds}"/>
  <section name="configuration">
    <configuration name="modules.conf"><modules>{modules}</modules></configuration>
    <configuration name="switch.conf"><settings>
      <param name="switchname" value="esl-lab"/>
      <param name="max-sessions" value="2000"/>
      <param name="sessions-per-second" value="1000"/>
      <param name="loglevel" value="info"/>
      <param name="rtp-start-port" value="{rtp}"/>
      <param name="rtp-end-port" value="{rtp_end}"/>
      <param name="event-heartbeat-interval" value="1"/>
    </settings></configuration>
    <configuration name="event_socket.conf"><settings>
      <param name="nat-map" value="false"/>
      <param name="listen-ip" value="127.0.0.1"/>
      <param name="listen-port" value="{esl}"/>
      <param name="password" value="{password}"/>
      <param name="apply-inbound-acl" value="denyloop"/>
    </settings></configuration>
    <configuration name="acl.conf"><network-lists>
      <list name="denyloop" default="allow"><node type="deny" cidr="127.0.0.2/32"/></list>
    </network-lists></configuration>
    <configuration name="console.conf"><mappings><map name="all" value="warning"/></mappings></configuration>
    <configuration name="logfile.conf"><settings/><profiles/></configuration>
    <configuration name="sofia.conf">
      <global_settings><param name="log-level" value="0"/></global_settings>
      <profiles>{profiles}</profiles>
    </configuration>
  </section>
  <section name="dialplan">
    <X-PRE-PROCESS cmd="include" data="dialplan/*.xml"/>
  </section>
  <section name="directory">
    <X-PRE-PROCESS cmd="include" data="directory/*.xml"/>
  </section>
  <section name="languages">
    <language name="en" say-module="en" sound-prefix="{sounds}"><phrases><macros/></phrases></language>
  </section>
</document>
"""


def _configure(conf: Path, esl: int, sip: int, controller: int) -> None:
    write_lab(conf)
    rtp = 33_000 + os.getpid() % 12 * 500
    profiles = _PROFILE.format(
        name="internal", context="default", presence="true", port=free_port(socket.SOCK_DGRAM)
    )
    profiles += _PROFILE.format(name="external", context="esl", presence="false", port=sip)
    main = _MAIN.format(
        controller=controller,
        sounds=conf.parent / "sounds",
        modules="".join(f'<load module="mod_{name}"/>' for name in _MODULES),
        rtp=rtp,
        rtp_end=rtp + 498,
        esl=esl,
        password=PASSWORD,
        profiles=profiles,
    )
    (conf / "freeswitch.xml").write_text(main)


@asynccontextmanager
async def real(folder: Path) -> AsyncIterator[Lab]:
    """Run a FreeSWITCH configured as the lab was."""
    binary = find_binary()
    assert binary is not None
    controllers: asyncio.Queue[Peer] = asyncio.Queue()

    def controller() -> Peer:
        peer = Peer()
        controllers.put_nowait(peer)
        return peer

    server = await asyncio.get_running_loop().create_server(controller, "127.0.0.1", 0)
    esl, sip = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
    for name in ("log", "db", "run", "sounds", "recordings", "conf"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _configure(folder / "conf", esl, sip, server.sockets[0].getsockname()[1])
    folders = [x for n in ("conf", "log", "db", "run", "recordings") for x in (f"-{n}", str(folder / n))]
    console = folder / "log" / "console.log"
    with console.open("ab") as out:
        child = await asyncio.create_subprocess_exec(
            binary,
            *("-nonat", "-nf", "-nc", "-cache", str(folder / "db"), *folders),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )

    async def call(number: str, caller: str, name: str) -> None:
        peer = await _logged_in(esl)
        await peer.ask(
            f"bgapi originate {{origination_caller_id_name={name},origination_caller_id_number={caller},"
            f"origination_uuid=sim-caller}}sofia/internal/{number}@127.0.0.1:{sip} &playback(silence_stream://-1)"
        )
        peer.close()

    try:
        async with asyncio.timeout(30):
            await _ready(esl, child, console)
        yield Lab(esl, folder / "recordings", call, controllers, sip_port=str(sip))
    finally:
        server.close()
        if child.returncode is None:
            child.terminate()
            try:
                await asyncio.wait_for(child.wait(), 15)
            except TimeoutError:
                child.kill()
                await child.wait()


async def _logged_in(esl: int) -> Peer:
    peer = await connect(esl)
    await peer.ask(f"auth {PASSWORD}")
    return peer


async def _ready(esl: int, child: asyncio.subprocess.Process, console: Path) -> None:
    while True:
        assert child.returncode is None, f"it ended; see {console}"
        try:
            peer = await _logged_in(esl)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        # The profiles start in threads of their own.
        while (await peer.ask("api sofia status")).count("RUNNING") < 2:
            await asyncio.sleep(0.1)
        peer.close()
        return
