"""What an application is given: ``${function(argument)}`` is the API's answer, ``${variable}`` the leg's variable."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from services.simswitch.core.dialplan import expand

if TYPE_CHECKING:
    from services.simswitch.channel import Channel

_FUNCTION: Final = re.compile(r"(?<!\\)\$\{(\w+)\(([^(){}]*)\)\}")


async def expanded(leg: Channel, text: str) -> str:
    """Return ``text`` with functions and variables put in."""
    if "${" not in text:
        return text
    parts = []
    last = 0
    for found in _FUNCTION.finditer(text):
        answer = await leg.switch.api(leg.switch, found[1], found[2])
        parts += [expand(text[last : found.start()], leg.var), answer]
        last = found.end()
    return "".join(parts) + expand(text[last:], leg.var)
