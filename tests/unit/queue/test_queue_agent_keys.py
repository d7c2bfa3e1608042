"""The keys of an agent's leg are bound by the dialplan, and meant by queue: both must say the same."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from services.queue.adapters import switch
from services.queue.core import outputs
from services.queue.core.wishes import KEYS

DIALPLAN = Path(__file__).parents[3] / "freeswitch" / "conf" / "dialplan" / "peyvand.xml"


def test_the_dialplan_binds_every_key_that_queue_understands() -> None:
    extension, dialplan, context = switch.AGENT_KEYS.split()
    assert dialplan == "XML"
    condition = ET.parse(DIALPLAN).find(f"context[@name='{context}']/extension/condition")
    assert condition is not None
    assert condition.get("expression") == f"^{extension}$"
    bound = [(a.get("application"), a.get("data")) for a in condition.findall("action")]
    assert bound == [
        ("bind_meta_app", f"{key} a si event::Event-Name=CUSTOM,Event-Subclass={switch.FEATURE},what={what}")
        for key, what in KEYS.items()
    ]


def test_an_originate_is_short_and_has_them_bound_at_the_answer() -> None:
    """FreeSWITCH reads a command byte by byte, with a turn for others after each."""
    leg = "6c0e2f3a-7f0d-4d3c-9c57-0a2b1c3d4e5f"
    order = outputs.Originate(
        contact=leg, leg=leg, offer=leg, agent="sara", extension="1001", tenant="demo", ring_ms=20_000,
        ani="09121234567", caller_name="Sara",
    )  # fmt: skip
    dialing = switch.Dialing(
        agent_dial="user/{extension}@{domain}", sip_domain="peyvand.local", transfer_dial="", nodes={},
        recordings_dir="/r",
    )  # fmt: skip
    line = switch.originate_line(order, "fs1", dialing)
    assert "execute_on_answer=execute_extension\\skeys\\sXML\\sagent_leg" in line
    assert len(line) < 650
