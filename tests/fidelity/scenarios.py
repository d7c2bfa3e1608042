"""What else happened beside the recorded connections: the calls that another connection, or a phone, made.

A transcript holds one connection's bytes. What happened elsewhere is written here, before which of its commands (counted
from 0) it happened, in lines of this language:

* ``api COMMAND``, ``bgapi COMMAND`` (and wait for its job), on a connection of its own;
* ``call NUMBER FROM NAME``: a caller, who stays on the line, calls the extension NUMBER;
* ``quiet``: wait until nothing has come to anybody for 0.3 s;
* ``await [N] LABEL``: wait until the N-th such event has come on the recorded connection.

``<talker>`` is the identifier of the leg of that name (`compare.Legs`), ``<folder>`` a folder for recordings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

TALKER: Final = "api originate {a=b}sofia/internal/talker@127.0.0.1:15080 &park()"
ECHO: Final = "api originate {a=b}sofia/internal/echo@127.0.0.1:15080 &park()"
AGENT: Final = (
    "bgapi originate {origination_uuid=agent-0700a102,ignore_early_media=true,originate_timeout=20,"
    "origination_caller_id_number=15551230000}sofia/internal/agent@127.0.0.1:15080 &park()"
)
PHONES: Final = re.compile(r"inbound sofia/external/")
CALLED: Final = re.compile(r"outbound sofia/internal/async@|inbound sofia/external/\S+ \S+#\d")
"""Where the recorded call itself comes in by SIP: its first inbound leg is no phone's."""


@dataclass(frozen=True)
class Scenario:
    """One recorded conversation and how to bring it about again."""

    name: str
    beside: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    phones: re.Pattern[str] = PHONES
    """Direction, channel name and name (`compare.Legs`) of the legs that are the phones': the lab switch called itself."""
    call: str = ""
    """What makes the call whose outbound socket is the recorded connection; empty for a client that connects."""
    watched_by: tuple[str, ...] = ()
    """Recorded connections of clients that watched the same call."""
    settle_s: float = 0.4
    """How long nothing must come before what has not come is missing."""


SCENARIOS: Final = (
    Scenario("01_inbound_auth_ok"),
    Scenario("02_inbound_auth_denied"),
    Scenario("03_inbound_command_before_auth"),
    Scenario("08_bgapi_originate", settle_s=2.5),
    Scenario("09_uuid_bridge_two_parked", {2: (TALKER, ECHO)}),
    Scenario(
        "09b_uuid_bridge_park_after",
        {2: (TALKER.replace("{a=b}", "{park_after_bridge=true,hangup_after_bridge=false}"), ECHO)},
    ),
    Scenario("10_uuid_transfer", {2: (TALKER,), 5: (TALKER, ECHO)}),
    Scenario("11_hold_unhold", {2: (TALKER, ECHO)}),
    Scenario(
        "12_eavesdrop",
        {
            2: (TALKER, ECHO),
            3: (
                "await CALL_UPDATE",
                "api originate {eavesdrop_enable_dtmf=true}sofia/internal/echo@127.0.0.1:15080 &eavesdrop(<talker>)",
            ),
        },
    ),
    Scenario("13_record", {2: (TALKER,)}),
    Scenario("18_disconnect_by_server"),
    Scenario(
        "07b_outbound_full_call_sip.outbound",
        {
            13: (
                "await PLAYBACK_START silence_stream://2000",
                *(f"api uuid_recv_dtmf <15551234> {digit}" for digit in "1234#"),
            ),
            21: ("await CHANNEL_BRIDGE", "api uuid_kill <agent>"),
        },
        phones=CALLED,
        call="call async 15551234 Alice",
        watched_by=("07b_outbound_full_call_sip.observer",),
        settle_s=1.0,
    ),
    Scenario(
        "20_queue_call_sip.outbound",
        {
            9: ("await CHANNEL_EXECUTE play_and_get_digits", "api uuid_recv_dtmf <15551230000> 1"),
            11: (
                "await 2 CHANNEL_EXECUTE playback",
                AGENT,
                "api uuid_bridge <15551230000> agent-0700a102",
                "await CHANNEL_BRIDGE",
                "api uuid_record <15551230000> start <folder>/q-<15551230000>.wav",
                "await RECORD_START",
                "api uuid_hold agent-0700a102",
                "await 3 CHANNEL_EXECUTE playback",
                "api uuid_hold off agent-0700a102",
                "await 3 CHANNEL_EXECUTE_COMPLETE playback",
                "quiet",
                "api uuid_kill agent-0700a102",
            ),
        },
        phones=CALLED,
        call="call async 15551230000 Cust",
        watched_by=tuple(
            f"20_queue_call_sip.{name}"
            for name in ("all_json", "all_plain", "filt_json", "filt_plain", "min_plain")
        ),
        settle_s=1.0,
    ),
)
