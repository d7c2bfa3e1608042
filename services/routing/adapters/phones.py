"""What FreeSWITCH says about phones and nodes: registrations, calls of the agents' own, and the connection. Listening only.

A registration counts at once. A lost one does not: the phone may have registered anew from another address, and each of
its registrations expires with an event of its own. So after a loss the node is asked for its list, which is the truth.

A call belongs to a phone when the phone authenticated it (``user_name``) or it was dialled as ``user/<extension>`` (``dialed_user``):
both are on the leg from CHANNEL_CREATE on, and no caller from outside can have them. A leg with an offer of ours never counts, whoever
dialled it. A call is over with CHANNEL_DESTROY, when the phone has had its BYE; at CHANNEL_HANGUP it would still answer busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import structlog

from services.common.errors import NotReady
from services.common.esl import Event, GeventHub, SwitchAddress, SwitchClient
from services.common.parts import switch_part
from services.routing.core import inputs as i

log = structlog.get_logger()

MakeInput = Callable[[int], i.AnyInput]
"""Makes the input when the owner takes it up, at that time."""

REGISTERED = "sofia::register"
LOST = ("sofia::unregister", "sofia::expire")
CALLS = ("CHANNEL_CREATE", "CHANNEL_DESTROY")
_LIST_DELAY_S = 0.2


class _Registration(msgspec.Struct):
    reg_user: str = ""


class _Registrations(msgspec.Struct):
    row_count: int = 0
    rows: list[_Registration] = []


class _Channel(msgspec.Struct):
    uuid: str = ""
    presence_data: str = ""


class _Channels(msgspec.Struct):
    row_count: int = 0
    rows: list[_Channel] = []


def foreign_legs(text: str) -> list[str]:
    """The legs in the answer to ``show channels as json`` that carry no offer of ours. Raises NotReady when it is something else.

    The list tells which legs live. Whose they are it cannot tell: ``presence_id`` of an inbound leg is what the caller says it is.
    """
    try:
        found = msgspec.json.decode(text, type=_Channels)
    except msgspec.MsgspecError:
        raise NotReady(f"expected a list of channels, found {text[:80]!r}") from None
    return [row.uuid for row in found.rows if not row.presence_data.startswith("a/")]


def listed(text: str) -> frozenset[str]:
    """The extensions in the answer to ``show registrations as json``. Raises NotReady when it is something else."""
    try:
        found = msgspec.json.decode(text, type=_Registrations)
    except msgspec.MsgspecError:
        raise NotReady(f"expected a list of registrations, found {text[:80]!r}") from None
    return frozenset(row.reg_user for row in found.rows)


class PhoneWatch:
    """Watches all nodes for whoever owns a tenant; ``tell`` gets inputs, ``known`` repeats the present to a new owner."""

    def __init__(
        self,
        hub: GeventHub,
        addresses: Sequence[SwitchAddress],
        tell: Callable[[MakeInput], None],
        on_ready: Callable[[str, bool, str], None],
        node_grace_s: float,
    ) -> None:
        self._tell = tell
        self._on_ready = on_ready
        self._node_grace_s = node_grace_s
        self._up: dict[str, bool] = {}
        self._phones: dict[str, set[str]] = {}
        self._newest: dict[str, str] = {}
        """Node of each phone's last registration: one that moves between nodes is known to both for a while."""
        self._calls: dict[str, dict[str, str]] = {}
        self._ended: dict[str, set[str]] = {}  # Legs that end while a node's are listed.
        """By node: legs that are none of ours, with the phone that they are of (empty: not known)."""
        self._graces: dict[str, asyncio.TimerHandle] = {}
        self._lists: dict[str, asyncio.Task[None]] = {}
        self._started = False
        self._clients = [self._client(hub, address) for address in addresses]

    def _client(self, hub: GeventHub, address: SwitchAddress) -> SwitchClient:
        async def on_up() -> None:
            await self._came_up(client)

        client = SwitchClient(
            hub,
            address,
            events=CALLS,
            subclasses=(REGISTERED, *LOST),
            on_event=lambda event: self._on_event(client, event),
            on_up=on_up,
            on_down=lambda reason: self._went_down(address.name, reason),
        )
        return client

    async def start(self) -> None:
        """Connect; called when the first shard is owned, because standbys do not subscribe. Repeated calls do nothing."""
        if self._started:
            return
        self._started = True
        for client in self._clients:
            self._on_ready(switch_part(client.address.name), False, "connecting")
            self._expect(client.address.name)
            await client.start()

    async def stop(self) -> None:
        for client in self._clients:
            await client.stop()
        for grace in self._graces.values():
            grace.cancel()
        for task in self._lists.values():
            task.cancel()
        await asyncio.gather(*self._lists.values(), return_exceptions=True)

    def known(self) -> list[MakeInput]:
        """The present state of all nodes and phones, for an owner that starts now."""
        nodes = [_node(name, up) for name, up in self._up.items()]
        phones = [_phones(name, frozenset(found)) for name, found in self._phones.items() if self._up[name]]
        calls = [_calls(name, dict(found)) for name, found in self._calls.items() if self._up.get(name)]
        return nodes + phones + calls

    # -- the node

    async def _came_up(self, client: SwitchClient) -> None:
        name = client.address.name
        if (grace := self._graces.pop(name, None)) is not None:
            grace.cancel()
        self._up[name] = True
        self._on_ready(switch_part(name), True, "")
        self._tell(_node(name, True))
        await self._list(client)
        await self._list_calls(client)

    def _went_down(self, name: str, reason: str) -> None:
        self._on_ready(switch_part(name), False, reason)
        if self._up.get(name, True):
            self._expect(name)

    def _expect(self, name: str) -> None:
        """Give the connection some time to come (back) before the node counts as unknown."""
        if name not in self._graces:
            self._graces[name] = asyncio.get_running_loop().call_later(
                self._node_grace_s, self._is_down, name
            )

    def _is_down(self, name: str) -> None:
        del self._graces[name]
        self._up[name] = False
        log.warning(
            "node_unknown", node=name, consequence="its contacts keep their places and are offered to nobody"
        )
        self._tell(_node(name, False))

    # -- the phones

    def _on_event(self, client: SwitchClient, event: Event) -> None:
        name = client.address.name
        if event.name in CALLS:
            self._on_call(name, event)
        elif event.subclass == REGISTERED:
            extension = event.get("from-user")
            known = extension in self._phones.setdefault(name, set())
            if extension and not (known and self._newest.get(extension, name) == name):
                self._phones[name].add(extension)
                self._newest[extension] = name
                self._tell(
                    lambda at_us: i.PhoneChanged(at_us=at_us, extension=extension, registered=True, node=name)
                )
        elif name not in self._lists:
            task = asyncio.get_running_loop().create_task(
                self._list_soon(client), name=f"registrations-{name}"
            )
            self._lists[name] = task

    def _on_call(self, node: str, event: Event) -> None:
        leg = event.unique_id
        calls = self._calls.setdefault(node, {})
        if event.name == "CHANNEL_DESTROY" and node in self._ended:
            self._ended[node].add(leg)
        if event.name == "CHANNEL_CREATE":
            if event.variable("cc_offer"):
                return
            extension = _phone(event)
            began = bool(extension)
        elif event.name == "CHANNEL_DESTROY" and leg in calls:
            # Also of a leg that carries an offer by now: who has dialled a number was on an own call before, and the news of
            # that may have come after the order. A leg that only a listing has named says itself whose it is.
            extension, began = calls.pop(leg) or _phone(event), False
        else:
            return
        if not extension:
            return
        if began:
            calls[leg] = extension
        direction = event.get("Call-Direction")
        self._tell(
            lambda at_us: i.OwnCallChanged(
                at_us=at_us, extension=extension, leg_id=leg, node=node, began=began, direction=direction
            )
        )

    async def _list_calls(self, client: SwitchClient) -> None:
        """After the connection was away: whatever began or ended unseen."""
        name = client.address.name
        before = dict(self._calls.get(name, {}))
        ended = self._ended[name] = set()  # While the answer is on its way: it may still name them.
        try:
            alive = [
                leg for leg in foreign_legs(await client.api("show channels as json")) if leg not in ended
            ]
        finally:
            self._ended.pop(name, None)
        # The table is written late: a leg whose CHANNEL_CREATE came while the answer was on its way may be missing in it.
        began = {leg: phone for leg, phone in self._calls.get(name, {}).items() if leg not in before}
        self._calls[name] = {leg: before.get(leg, "") for leg in alive} | began
        self._tell(_calls(name, dict(self._calls[name])))

    async def _list_soon(self, client: SwitchClient) -> None:
        await asyncio.sleep(_LIST_DELAY_S)  # one list for a burst of losses
        del self._lists[client.address.name]  # a loss from here on asks again
        try:
            await self._list(client)
        except NotReady as e:
            log.warning("registrations_unread", node=client.address.name, reason=str(e))

    async def _list(self, client: SwitchClient) -> None:
        phones = listed(await client.api("show registrations as json"))
        self._phones[client.address.name] = set(phones)
        self._tell(_phones(client.address.name, phones))


def _phone(event: Event) -> str:
    """The extension of the phone that dialled or was dialled; empty for anybody else."""
    return event.variable("user_name") or event.variable("dialed_user")


def _node(name: str, up: bool) -> MakeInput:
    return lambda at_us: i.NodeSeen(at_us=at_us, node=name, up=up)


def _phones(name: str, phones: frozenset[str]) -> MakeInput:
    return lambda at_us: i.PhonesListed(at_us=at_us, node=name, extensions=phones)


def _calls(name: str, legs: dict[str, str]) -> MakeInput:
    return lambda at_us: i.OwnCallsListed(at_us=at_us, node=name, legs=legs)
