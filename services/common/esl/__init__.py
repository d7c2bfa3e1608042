"""FreeSWITCH's event socket: the codec, the client of a node, the server for calls that FreeSWITCH hands to us.

The only package that imports gevent and greenswitch. `GeventHub` has to be started before a client; the server needs none.
"""

from services.common.esl.client import SwitchAddress, SwitchClient
from services.common.esl.hub import GeventHub
from services.common.esl.protocol import Decoder, Event, Frame
from services.common.esl.quoting import channel_vars, command, multiset, neutralise, setvar_multi
from services.common.esl.server import OutboundServer, OutboundSession

__all__ = [
    "Decoder",
    "Event",
    "Frame",
    "GeventHub",
    "OutboundServer",
    "OutboundSession",
    "SwitchAddress",
    "SwitchClient",
    "channel_vars",
    "command",
    "multiset",
    "neutralise",
    "setvar_multi",
]
