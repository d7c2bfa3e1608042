"""What a SIPp phone says at a moment that the test chooses, sent into its SIP dialog by the test.

A SIPp scenario can wait for times, not for what happens on another leg. FreeSWITCH knows a dialog by its Call-ID and tags, so a request that
has them is the phone's, whatever port it comes from. It must go to the profile that has the dialog: another one refuses a BYE (481), but
answers 200 to an INFO, and does nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Awaitable, Callable, Mapping

from tests.freeswitch.switch import FreeSwitch

VARIABLES = ("sip_call_id", "sip_from_tag", "sip_to_tag", "direction", "sofia_profile_name")
KEY_MS = 160
_cseq = itertools.count(100)  # Above whatever a scenario has sent in its dialog.


class Dialogs:
    """The dialogs of the legs of one switch. ``ask`` sends an API command to it."""

    def __init__(self, switch: FreeSwitch, ask: Callable[[str], Awaitable[str]]) -> None:
        self._switch = switch
        self._ask = ask

    async def bye(self, leg: str, known: Mapping[str, str] | None = None) -> None:
        """Let the phone on a leg hang up. ``known``: an event of the leg, which saves asking. A leg that is gone is gone."""
        await self._say(leg, known, "BYE")

    async def press(self, leg: str, keys: str, known: Mapping[str, str] | None = None) -> None:
        """Let the phone on a leg press keys, by INFO, each when the one before is taken."""
        for key in keys:
            body = f"Signal={key}\r\nDuration={KEY_MS}\r\n"
            await self._say(leg, known, "INFO", "application/dtmf-relay", body)

    async def _dialog(self, leg: str, known: Mapping[str, str] | None) -> dict[str, str] | None:
        if known is None or any(not known.get(f"variable_{name}") for name in VARIABLES):
            dump = await self._ask(f"uuid_dump {leg} json")
            if dump.startswith("-"):
                return None
            known = json.loads(dump)
        return {name: known.get(f"variable_{name}", "") for name in VARIABLES}

    async def _say(
        self, leg: str, known: Mapping[str, str] | None, method: str, kind: str = "", body: str = ""
    ) -> None:
        of = await self._dialog(leg, known)
        if of is None:
            return
        inbound = of["direction"] == "inbound"
        mine, theirs = ("sip_from_tag", "sip_to_tag") if inbound else ("sip_to_tag", "sip_from_tag")
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
            at = f"127.0.0.1:{sock.getsockname()[1]}"
            to = self._switch
            ports = {"agents": to.agents_port, "trunk": to.trunk_port, "nodes": to.nodes_port}
            port = ports[of["sofia_profile_name"]]
            number = next(_cseq)
            lines = [
                f"{method} sip:mod_sofia@127.0.0.1:{port} SIP/2.0",
                f"Via: SIP/2.0/UDP {at};branch=z9hG4bKdialog{number}",
                f"From: <sip:phone@{at}>;tag={of[mine]}",
                f"To: <sip:switch@127.0.0.1:{port}>;tag={of[theirs]}",
                f"Call-ID: {of['sip_call_id']}",
                f"CSeq: {number} {method}",
                "Max-Forwards: 70",
                *([f"Content-Type: {kind}"] if kind else []),
                f"Content-Length: {len(body)}",
            ]
            text = "\r\n".join(lines) + "\r\n\r\n" + body
            sock.sendto(text.encode(), ("127.0.0.1", port))
            async with asyncio.timeout(10):
                answer = (await loop.sock_recv(sock, 4096)).decode().splitlines()[0]
            # A leg whose other side hung up in the same moment has no dialog any more.
            assert answer.split(" ", 2)[1] in ("200", "481"), f"{method} for {leg} was answered {answer}"
