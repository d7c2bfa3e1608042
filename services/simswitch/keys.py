"""``bind_meta_app``: feature keys of a phone in a conversation. Measured on 1.10.12, and read (switch_ivr_async.c, meta_on_dtmf).

``bind_meta_app <key> <a|b|ab> <flags> <app>[::<data>]``: ``*`` and the key, pressed by the phone, run the application
instead of being DTMF; no DTMF event comes, and none for another key after ``*`` either. A second ``*``, and a key more than five seconds
after the first, are DTMF again. ``uuid_recv_dtmf`` is no phone: its digits are DTMF. The application is broadcast to the leg that
pressed (``s``, ``a``) or to the other (``o``, ``b``), about half a second later, while the other one gets the hold music, unless ``n``
(no music). With ``i`` (inline) it runs at once, in whichever thread heard the key, whatever the leg is doing. ``1`` is for once.

A ``*`` is taken from the first binding on, until all are unbound at once; a key that is unbound alone is like any other after it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from services.common.esl.quoting import separate
from services.simswitch.channel import Channel
from services.simswitch.messages import broadcast_message

_DELAY_S: Final = 0.4
_TOGETHER_S: Final = 5
_KEYS: Final = frozenset("0123456789*#")


@dataclass(frozen=True, slots=True)
class Binding:
    """One key's application."""

    app: str
    data: str
    flags: str


class MetaKeys:
    """The keys that are bound on one leg. `take` is asked for every key that its phone presses."""

    def __init__(self, leg: Channel) -> None:
        self._leg = leg
        self._bound: dict[str, Binding] = {}
        self._up = False
        self._star = False
        self._last_s = 0

    def bind(self, key: str, binding: Binding) -> None:
        """Bind, or bind anew."""
        self._bound[key] = binding
        self._up = True

    def unbind(self, key: str) -> None:
        """Forget one key; every key when it is empty."""
        if key:
            self._bound.pop(key, None)
        else:
            self._bound.clear()
            self._up = self._star = False

    def take(self, digit: str) -> bool:
        """Whether the key is no DTMF."""
        if not self._up:
            return False
        now_s = self._leg.switch.clock.now_us() // 1_000_000  # It compares whole seconds.
        late, self._last_s = now_s - self._last_s > _TOGETHER_S, now_s
        if self._star and late:
            self._star = False
            return False
        if digit == "*":
            self._star = not self._star
            return self._star
        if not self._star:
            return False
        self._star = False
        binding = self._bound.get(digit)
        if binding is not None:
            if "1" in binding.flags:
                del self._bound[digit]
            if "i" in binding.flags:
                leg, _ = self._legs(binding)
                leg.switch.spawn(leg.execute(binding.app, binding.data), f"keys of {leg.uuid}")
            else:
                asyncio.get_running_loop().call_later(_DELAY_S, self._run, binding)
        return True

    def _legs(self, binding: Binding) -> tuple[Channel, Channel | None]:
        """Who runs the application, and who waits meanwhile."""
        leg, other = self._leg, self._leg.partner
        if other is not None and ("o" in binding.flags or "b" in binding.flags):
            return other, leg
        return leg, other

    def _run(self, binding: Binding) -> None:
        target, waits = self._legs(binding)
        if target.down:
            return
        message = broadcast_message(binding.app, binding.data)
        message.lead_s = 0.0
        music = self._leg.var("hold_music") or self._leg.switch.globals.get("hold_music", "")
        if waits is not None and music and "n" not in binding.flags:
            hears = waits
            hears.queue(broadcast_message("playback", music, loops=-1, role="hold"))
            message.lead_s = 0.2
            message.after = lambda: hears.stop_broadcast("hold")
        target.queue(message)


async def bind_meta_app(leg: Channel, data: str) -> str:
    """Application; a wrong argument binds nothing, as there."""
    words = separate(data, " ", 4)
    if len(words) == 4 and words[0] in _KEYS and words[3]:
        app, separator, argument = words[3].partition("::")
        if not separator:  # without an application's name it is a path
            app, argument = "playback", words[3]
        binding = Binding(app, argument, words[2].lower())
        if "a" in words[1].lower():
            _keys(leg).bind(words[0], binding)
        if "b" in words[1].lower() and leg.partner is not None:
            _keys(leg.partner).bind(words[0], binding)
    return ""


async def unbind_meta_app(leg: Channel, data: str) -> str:
    """Application: one key, or all."""
    _keys(leg).unbind(data.strip().partition(" ")[0])
    return ""


def _keys(leg: Channel) -> MetaKeys:
    if leg.keys is None:
        leg.keys = MetaKeys(leg)
    found = leg.keys
    assert isinstance(found, MetaKeys)
    return found
