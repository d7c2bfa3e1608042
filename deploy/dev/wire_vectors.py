"""Keep what this version puts on the wire, so that the next one is tested against it.

    python -m deploy.dev.wire_vectors        write tests/contract/vectors/previous

Run when a version is released, not when a test fails: the files are the promise that two adjacent versions read each other.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from google.protobuf import json_format

from deploy.dev.protoc import OUT, PROTO
from services.common.bus import Envelope, Letter
from services.common.bus.headers import to_headers
from services.common.runtime import VERSION
from services.contracts.registry import TYPES
from services.contracts.required import REQUIRED

FOLDER = Path(__file__).parents[2] / "tests" / "contract" / "vectors" / "previous"

# Every part of an envelope that a header carries.
ENVELOPE = Envelope(
    id="c-1:gone",
    type="peyvand.queue.v1.ContactGone",
    time_us=1_763_800_000_123_456,
    source="/queue/1",
    tenant="demo",
    correlation_id="تماس 1",
    causation_id="offer-1",
    subject="cc.v1.evt.demo.queue.contact.gone",
    stream_seq=0,
    data=b"",
    note="CC_EVENTS 7 cc.v1.evt.demo.queue.contact.gone: no such queue",
    letter=Letter(
        consumer="reporting-events",
        reason="rejected",
        error="no such queue: 100 %",
        subject="cc.v1.evt.demo.queue.contact.gone",
        stream="CC_EVENTS",
        stream_seq=7,
        id="c-1:gone",
        source="/queue/1",
        time_us=1_763_800_000_000_001,
        causation_id="offer-1",
        deliveries=5,
        times=2,
    ),
)


def messages() -> dict[str, dict[str, object]]:
    """The golden example of every message: what it says, and its bytes in hex."""
    found: dict[str, dict[str, object]] = {}
    for name, kind in sorted(TYPES.items()):
        said = json.loads((PROTO / "examples" / f"{name}.json").read_text())
        message = json_format.ParseDict(said, kind())
        found[name] = {"bytes": message.SerializeToString(deterministic=True).hex(), "says": said}
    return found


def main() -> int:
    """Entry point; returns the exit code."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = {
        "version": VERSION,
        "required": REQUIRED,
        "headers": to_headers(ENVELOPE, stored=True),
        "messages": messages(),
    }
    (FOLDER / "wire.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    (FOLDER / "contracts.binpb").write_bytes((OUT / "contracts.binpb").read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
