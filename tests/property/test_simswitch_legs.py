"""Whatever clients and people do to the legs, and in whatever order: nothing is left over and the books add up."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.simswitch_kit import Phone, lab

LEGS = ("A", "B", "C", "D")
leg = st.sampled_from(LEGS)
action = st.one_of(
    st.tuples(st.just("api uuid_bridge {0} {1}"), leg, leg),
    st.tuples(st.just("api uuid_kill {0}"), leg, leg),
    st.tuples(st.just("api uuid_park {0}"), leg, leg),
    st.tuples(
        st.just("api uuid_setvar_multi {0} park_after_bridge=true;uuid_bridge_park_on_cancel=true"), leg, leg
    ),
    st.tuples(st.just("api uuid_transfer {0} 'playback:silence_stream://30,park:' inline"), leg, leg),
    st.tuples(st.just("api uuid_transfer {0} -both park inline"), leg, leg),
    st.tuples(st.just("api uuid_broadcast {0} silence_stream://20 aleg"), leg, leg),
    st.tuples(st.just("api uuid_break {0} all"), leg, leg),
    st.tuples(st.just("api uuid_record {0} start {2}/rec/{0}.wav"), leg, leg),
    st.tuples(st.just("api uuid_displace {0} start silence_stream://20 0"), leg, leg),
    st.tuples(st.just("api uuid_recv_dtmf {0} 1"), leg, leg),
    st.tuples(st.just("hangup"), leg, leg),
    st.tuples(st.just("wait"), leg, leg),
)


async def story(folder: Path, actions: list[tuple[str, str, str]]) -> None:
    async with lab(folder) as sw:
        for extension in ("1001", "1002"):
            sw.switch.register(extension, Phone(after_s=0.0))
        client = await sw.client("event json ALL")
        for uuid in ("C", "D"):
            sw.caller(uuid=uuid)
        for uuid, extension in (("A", "1001"), ("B", "1002")):
            assert (
                await client.api(
                    f"originate {{origination_uuid={uuid}}}user/{extension}@peyvand.local &park()"
                )
                == f"+OK {uuid}"
            )
        for what, first, second in actions:
            if what == "wait":
                await asyncio.sleep(0.03)
            elif what == "hangup":
                found = sw.switch.find(first)
                if found is not None:
                    found.end("NORMAL_CLEARING", by="caller" if first in "CD" else "agent")
            else:
                reply = await client.send(what.format(first, second, folder))
                assert reply.startswith(("+OK", "-ERR")), reply
        await client.api("hupall")
        await sw.until(lambda: not sw.switch.channels)
        await client.api("status")  # its answer comes after every event
        # every leg ends exactly once, with one record, one line, and its events in one order
        for uuid in LEGS:
            mine = [e for e in client.events if e.get("Unique-ID") == uuid]
            names = Counter(e["Event-Name"] for e in mine)
            for name in ("CHANNEL_CREATE", "CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY"):
                assert names[name] == 1, (uuid, name, names[name])
            assert names["CHANNEL_PARK"] == names["CHANNEL_UNPARK"]
            assert names["PLAYBACK_START"] == names["PLAYBACK_STOP"]
            assert names["RECORD_START"] == names["RECORD_STOP"]
            assert names["MEDIA_BUG_START"] == names["MEDIA_BUG_STOP"]
            assert mine[-1]["Channel-State"] == "CS_DESTROY"
            assert (folder / "cdr" / f"{uuid}.cdr.json").exists()
        bridges = [
            (e["Event-Name"], e["Bridge-A-Unique-ID"], e["Bridge-B-Unique-ID"])
            for e in client.events
            if e["Event-Name"] in ("CHANNEL_BRIDGE", "CHANNEL_UNBRIDGE")
        ]
        opened: set[tuple[str, str]] = set()
        for name, a, b in bridges:
            if name == "CHANNEL_BRIDGE":
                assert not any({a, b} & set(pair) for pair in opened), "a leg hears one other at a time"
                opened.add((a, b))
            else:
                opened.remove((a, b))
        assert not opened
        assert await client.api("show channels as json") == '{"row_count": 0}'
        lines = sw.ledger.lines()
        assert Counter(x["kind"] for x in lines) == {"leg": 4, "call": 2}
        for line in lines:
            for bridge in line.get("bridges", []):
                assert 0 < bridge["bridged_us"] <= bridge["unbridged_us"] <= line["ended_us"]
        written = [json.loads(x) for x in (folder / "ledger.jsonl").read_text().splitlines()]
        assert written == lines


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(action, max_size=14))
def test_no_leg_is_left_over_and_the_books_add_up(actions: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder), actions))
