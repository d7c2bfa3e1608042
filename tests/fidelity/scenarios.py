"""What else happened beside the recorded connections: the calls that another connection, or a phone, made.

A transcript holds one connection's bytes. What happened elsewhere is written here, before which of its commands (counted
from 0) it happened, in lines of this language:

* ``api COMMAND``, ``bgapi COMMAND`` (and wait for its job), on a connection of its own; ``raw TEXT``: any other command there;
* ``call NUMBER FROM NAME``: a caller, who stays on the line, calls the extension NUMBER;
* ``quiet``: wait until nothing has come to anybody for 0.3 s;
* ``await [N] LABEL``: wait until the N-th such event has come on the recorded connection.

``<talker>`` is the identifier of the leg of that name (`compare.Legs`), ``<made 1>`` the first that an ``api`` command here
answered with, ``<folder>`` a folder for recordings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.fidelity.compare import View

TALKER: Final = "api originate {a=b}sofia/internal/talker@127.0.0.1:15080 &park()"
ECHO: Final = "api originate {a=b}sofia/internal/echo@127.0.0.1:15080 &park()"
AGENT: Final = (
    "bgapi originate {origination_uuid=agent-0700a102,ignore_early_media=true,originate_timeout=20,"
    "origination_caller_id_number=15551230000}sofia/internal/agent@127.0.0.1:15080 &park()"
)
PLAIN: Final = View(re.compile(r"inbound sofia/external/"))
CALLED: Final = View(re.compile(r"outbound sofia/internal/async@|inbound sofia/external/\S+ \S+#\d"))
"""Where the recorded call itself comes in by SIP: its first inbound leg is no phone's."""


def _run(app: str, argument: str, event_uuid: str = "") -> str:
    """``sendmsg`` with the argument as its body, which may hold anything."""
    name = f"Event-UUID: {event_uuid}\n" if event_uuid else ""
    head = (
        f"sendmsg <made 2>\ncall-command: execute\nexecute-app-name: {app}\n{name}content-type: text/plain\n"
    )
    return f"raw {head}content-length: {len(argument.encode('utf-8', 'surrogateescape'))}\n\n{argument}"


BEFORE_AWKWARD: Final = (
    "api originate loopback/echo/esl &park()",
    "api originate loopback/echo/esl &park()",
    "api uuid_setvar <made 1> raw ${uuid} \\${x} a  b",
    "raw sendmsg <made 1>\ncall-command: execute\nexecute-app-name: set\nexecute-app-arg: q=crlf",
    "quiet",
)
AWKWARD: Final = (
    "api uuid_kill <made 1>",
    "await 2 CHANNEL_EXECUTE_COMPLETE",
    _run("set", "enc_utf8=Zoë 漢字 🎉"),
    _run("set", "enc_latin1=Zo\udceb"),
    _run("set", "enc_pct=100% %41 %0A %zz %2f a+b"),
    _run("set", "enc_nl=line1\nline2: x\nEvent-Name: FAKE"),
    _run("set", "enc_colon=: leading"),
    _run("set", "enc_blank=a\n\nb"),
    _run("set", "enc_quote=\"q\" 's' \\ {x} [y] | , ; ^"),
    _run("set", "enc_trunc=caf\udcc3"),
    _run("set", "enc_nul_like=\x01\x1f\x7f"),
    _run("set", "enc_spaces=  two  "),
    _run("push", "enc_arr=a b"),
    _run("push", "enc_arr=c:d"),
    _run("push", "enc_arr=e|f"),
    _run("push", "enc_arr=g|:h"),
    _run("push", "enc_arr1=only"),
    _run("set", "enc_literal_array=ARRAY::x|:y"),
    _run("set", "enc_empty="),
    _run("set", "enc_name with space=v"),
    _run("set", "enc_dotted.name[0]=v0"),
    _run("set", "enc_last=1", "LAST"),
    "await 22 CHANNEL_EXECUTE_COMPLETE",
    "raw sendevent CUSTOM\nEvent-Subclass: enc::x\nX-One: 1\ncontent-length: 50\n\n"
    "Content-Length: 5\n\nfake\nbody: héé\n\nEvent-Name: X",
    "raw sendevent CUSTOM\nEvent-Subclass: enc::x\ndup: 1\ndup: 2\nDup: 3\nX-Arr: ARRAY::a|:b",
    "raw sendevent NO_SUCH_EVENT\nfoo: bar",
    "raw sendevent CUSTOM\nfoo: no-subclass",
)
"""Values that are awkward on the wire, and events of a client's own."""


@dataclass(frozen=True)
class Scenario:
    """One recorded conversation and how to bring it about again."""

    name: str
    beside: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    view: View = PLAIN
    call: str = ""
    """The line that makes the call whose outbound socket is the recorded connection; empty for a client that connects."""
    source: str = "127.0.0.1"
    """The address that the client connects from."""
    watched_by: tuple[str, ...] = ()
    """Recorded connections of clients that watched the same call."""
    pauses: bool = True
    """Whether the client's pauses are kept. Where the lab here beats its heart faster they would let too much happen."""
    settle_s: float = 0.4
    """How long nothing must come before what has not come is missing."""


SCENARIOS: Final = (
    Scenario("01_inbound_auth_ok"),
    Scenario("02_inbound_auth_denied"),
    Scenario("03_inbound_command_before_auth"),
    Scenario("04_userauth_ok"),
    Scenario("04b_userauth_denied"),
    Scenario("04c_userauth_truncated_reply"),
    Scenario("05_rude_rejection", source="127.0.0.2"),
    Scenario("06_subscribe_json"),
    Scenario("06_subscribe_plain"),
    Scenario("08_bgapi_originate", settle_s=2.5),
    Scenario("09_uuid_bridge_two_parked", {2: (TALKER, ECHO)}),
    Scenario(
        "09b_uuid_bridge_park_after",
        {2: (TALKER.replace("{a=b}", "{park_after_bridge=true,hangup_after_bridge=false}"), ECHO)},
    ),
    Scenario("10_uuid_transfer", {2: (TALKER,), 5: (TALKER, ECHO)}, settle_s=1.5),
    Scenario("11_hold_unhold", {2: (TALKER, ECHO)}),
    Scenario(
        "12_eavesdrop",
        {
            2: (TALKER, ECHO),
            3: (
                "await CHANNEL_BRIDGE",
                "quiet",
                "api originate {eavesdrop_enable_dtmf=true}sofia/internal/echo@127.0.0.1:15080 &eavesdrop(<talker>)",
            ),
        },
    ),
    Scenario("13_record", {2: (TALKER,)}),
    Scenario(
        "14_channel_hangup_complete",
        {
            2: (
                "api originate {origination_caller_id_name='Q Müller',origination_caller_id_number=5550001,verbose_events=true,"
                "sip_h_X-Tenant=acme}sofia/internal/talker@127.0.0.1:15080 "
                "&bridge({absolute_codec_string=PCMU}sofia/internal/echo@127.0.0.1:15080)",
                "quiet",
                "api uuid_kill <made 1>",
                "await 4 CHANNEL_HANGUP_COMPLETE",
                "api originate sofia/internal/busy@127.0.0.1:15080 &park()",
                "api originate {originate_timeout=1}sofia/internal/noanswer@127.0.0.1:15080 &park()",
            )
        },
    ),
    Scenario(
        "14b_channel_hangup_complete_json",
        {
            2: (
                "api originate {origination_caller_id_name='Q Müller',sip_h_X-Tenant=acme}"
                "sofia/internal/talker@127.0.0.1:15080 &park()",
                "quiet",
                "api hupall",
            )
        },
    ),
    Scenario("15_heartbeat", view=View(PLAIN.phones, clock=True), settle_s=1.5, pauses=False),
    *(Scenario(f"17_encodings_{form}", {1: BEFORE_AWKWARD, 2: AWKWARD}) for form in ("json", "plain")),
    Scenario("19_log", {1: ("api originate loopback/echo/esl &park()",)}),
    Scenario(
        "07_outbound_full_call_loopback.outbound",
        {
            13: (
                "await PLAYBACK_START silence_stream://2000",
                *(f"api uuid_recv_dtmf <async-b> {digit}" for digit in "1234#"),
            ),
            21: ("await CHANNEL_BRIDGE", "api uuid_kill <agent>"),
            27: ("api show channels count", "api status"),
        },
        call="bgapi originate {origination_caller_id_name=Alice,origination_caller_id_number=15551234}loopback/async/esl "
        "&playback(silence_stream://-1)",
        watched_by=("07_outbound_full_call_loopback.observer",),
        settle_s=1.0,
    ),
    Scenario(
        "07b_outbound_full_call_sip.outbound",
        {
            13: (
                "await PLAYBACK_START silence_stream://2000",
                *(f"api uuid_recv_dtmf <15551234> {digit}" for digit in "1234#"),
            ),
            21: ("await CHANNEL_BRIDGE", "api uuid_kill <agent>"),
            27: ("api show channels count", "api status"),
        },
        view=CALLED,
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
                "quiet",
                "api uuid_hold agent-0700a102",
                "await 3 CHANNEL_EXECUTE playback",
                "quiet",
                "api uuid_hold off agent-0700a102",
                "await 3 CHANNEL_EXECUTE_COMPLETE playback",
                "quiet",
                "api uuid_kill agent-0700a102",
            ),
        },
        view=CALLED,
        call="call async 15551230000 Cust",
        watched_by=tuple(
            f"20_queue_call_sip.{name}"
            for name in ("all_json", "all_plain", "filt_json", "filt_plain", "min_plain")
        ),
        settle_s=1.0,
    ),
    Scenario(
        "21_outbound_json",
        {
            6: ("raw sendevent MESSAGE\nunique-id: <async-b>\nX-Test: 1\ncontent-length: 5\n\nhello",),
            7: ("await 2 CHANNEL_EXECUTE_COMPLETE", "api uuid_kill <async-b>"),
        },
        call="bgapi originate {origination_caller_id_name=T}loopback/async/esl &playback(silence_stream://-1)",
    ),
    # The module of the event socket is loaded anew here, and a while passes until it listens again: it is the last.
    Scenario("18_disconnect_by_server"),
)
