"""The codecs of simulated legs, with what the real switch (1.10.12) says of each in headers and variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from services.simswitch.core.wire import Value


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec. ``payload`` and ``dtmf_payload`` are RTP payload types; a bit rate of 0 is a codec without a fixed one."""

    name: str
    rate: int
    bit_rate: int
    payload: int
    source: str
    """Module and parameters, as in ``ep_codec_string``."""
    dtmf_payload: int = 101
    offers: str = ""
    """Format parameters of our own offer, which the other side's leg shows."""
    answers: str = ""
    """Those of an answer."""

    def headers(self, *, writes: bool = True) -> Mapping[str, Value]:
        """The headers of every event of a leg that speaks it."""
        return _headers(self.name, self.rate, self.bit_rate, writes)

    def variables(self, direction: str) -> dict[str, Value]:
        """What agreeing on it leaves on a leg: the caller's offer is ours, for the lab's phones were switches too."""
        parameters = self.offers if direction == "inbound" else self.answers
        out: dict[str, Value] = {"rtp_audio_recv_pt": str(self.payload), "rtp_use_codec_name": self.name}
        if parameters:
            out["rtp_use_codec_fmtp"] = parameters
        rate = str(self.rate)
        return out | {
            "rtp_use_codec_rate": rate,
            "rtp_use_codec_ptime": "20",
            "rtp_use_codec_channels": "1",
            "rtp_last_audio_codec_string": f"{self.name}@{rate}h@20i@1c",
            "read_codec": self.name,
            "original_read_codec": self.name,
            "read_rate": rate,
            "original_read_rate": rate,
            "write_codec": self.name,
            "write_rate": rate,
        }


@lru_cache
def _headers(name: str, rate: int, bit_rate: int, writes: bool) -> dict[str, Value]:
    out: dict[str, Value] = {}
    for way in ("Read", "Write") if writes else ("Read",):
        out[f"Channel-{way}-Codec-Name"] = name
        out[f"Channel-{way}-Codec-Rate"] = str(rate)
        out[f"Channel-{way}-Codec-Bit-Rate"] = str(bit_rate)
    return out


PCMU: Final = Codec("PCMU", 8000, 64_000, 0, "CORE_PCM_MODULE.PCMU@8000h@20i@64000b")
PCMA: Final = Codec("PCMA", 8000, 64_000, 8, "CORE_PCM_MODULE.PCMA@8000h@20i@64000b")
OPUS: Final = Codec(
    "opus",
    48_000,
    0,
    102,
    "mod_opus.opus@48000h@20i@2c",
    dtmf_payload=103,
    offers="useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40",
    answers="useinbandfec=1; ptime=20; minptime=10; maxptime=40",
)
L16: Final = Codec("L16", 8000, 128_000, 0, "")
"""Plain samples: what legs without SIP have."""

G711: Final = (PCMU, PCMA)
"""What the phones of the product speak."""


def named(name: str, known: Iterable[Codec]) -> Codec | None:
    """The codec of this name among the known ones."""
    return next((codec for codec in known if codec.name.upper() == name.upper()), None)


def offered(codecs: Iterable[Codec]) -> str:
    """``ep_codec_string`` of an offer."""
    return ",".join(codec.source for codec in codecs)
