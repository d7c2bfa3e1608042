"""The codecs of a leg are agreed: the events and variables of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.simswitch.core.codecs import Codec, named
from services.simswitch.core.leg_variables import media_variables
from services.simswitch.core.wire import Value

if TYPE_CHECKING:
    from services.simswitch.channel import Channel


def open_media(leg: Channel) -> None:
    """A SIP leg: CODEC, once for each direction."""
    if leg.codec is not None:
        return
    # An answer may choose among what the variable left in our offer.
    wanted = leg.var("absolute_codec_string").partition(",")[0]
    codec = leg.codec = named(wanted, leg.switch.codecs) or leg.switch.codecs[0]
    _fire_read(leg, codec)
    _fire_write(leg, codec)
    leg.variables.update(media_variables(leg, "127.0.0.1", codec))


def open_plain(leg: Channel, codec: Codec) -> None:
    """A leg without SIP has its codec from the beginning, one way after the other."""
    leg.codec, leg.writes = codec, False
    _fire_read(leg, codec, location="CODEC read")
    leg.writes = True
    _fire_write(leg, codec)


def _fire_read(leg: Channel, codec: Codec, *, location: str = "") -> None:
    tail: dict[str, Value] = {
        "channel-read-codec-name": codec.name,
        "channel-read-codec-rate": str(codec.rate),
        "channel-read-codec-bit-rate": str(codec.bit_rate),
    }
    leg.switch.fire("CODEC", leg, variables=False, tail=tail, location=location)


def _fire_write(leg: Channel, codec: Codec) -> None:
    tail: dict[str, Value] = {"Channel-Write-codec-bit-rate": str(codec.bit_rate)}
    leg.switch.fire("CODEC", leg, variables=False, tail=tail, location="CODEC write")
