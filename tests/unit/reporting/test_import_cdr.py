"""FreeSWITCH's own records of legs, as a real FreeSWITCH 1.10.12 with mod_callcenter wrote them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from services.common.ids import derived_id
from services.reporting.adapters.spool import read_cdr
from services.reporting.core.imports import callcenter, cdr, cdr_csv
from services.reporting.core.imports.clock import readings
from services.reporting.core.imports.names import Names
from services.reporting.core.imports.records import BadLine, Contact, History, rows_of_history
from services.reporting.core.legs import leg_of

VECTORS = Path(__file__).parents[2] / "vectors" / "imports"
ANSWERED = "dbf72b7e-d1bc-414d-8ec9-38352e5d6e5a"
BERLIN = ZoneInfo("Europe/Berlin")


def json_cdr(leg_id: str, names: Names | None = None) -> History:
    profile, variables = read_cdr((VECTORS / "json_cdr" / f"{leg_id}.cdr.json").read_bytes())
    return cdr.history_of(
        leg_of("spool", profile, variables), variables, names or Names(), "acme", derived_id
    )


def contact(history: History) -> Contact:
    assert history.contact is not None
    return history.contact


def test_the_callers_leg_of_mod_callcenter_is_a_contact_with_its_stay_and_its_agent() -> None:
    history = json_cdr(ANSWERED, Names(queues={"support@default": "help"}, agents={"1001@default": "sara"}))
    one = contact(history)
    assert (one.contact_id, one.queue, one.agent_id, one.outcome) == (ANSWERED, "help", "sara", "answered")
    # mod_callcenter wrote whole seconds (joined ...881, answered ...887); leg and bridge say more.
    assert one.waiting_since == 1_795_350_881_890_234
    assert one.connected_at == 1_795_350_887_852_970
    assert (one.wait_ms, one.talk_ms) == (5_962, 8_079)
    assert (one.ani, one.recording_path) == ("09120000001", f"/var/rec/{ANSWERED}.wav")
    stay, talk = history.segments
    assert (stay.kind, stay.outcome, talk.kind, talk.talk_ms) == ("queue", "answered", "agent", 8_079)
    assert talk.agent_leg_id == "2ccad3c8-f9b0-40f7-9c88-13da60bad9da"


def test_agents_legs_are_offers_with_what_became_of_them() -> None:
    accepted, busy, unanswered = (
        json_cdr(leg)
        for leg in (
            "2ccad3c8-f9b0-40f7-9c88-13da60bad9da",
            "d3344844-7047-49ca-be68-cd1cee199e68",
            "706fa41f-9960-456a-9d59-c8c847bec210",
        )
    )
    assert [h.contact for h in (accepted, busy, unanswered)] == [None, None, None]
    assert {h.offers[0].contact_id for h in (accepted, busy, unanswered)} == {ANSWERED}
    assert {h.legs[0].contact_id for h in (accepted, busy, unanswered)} == {ANSWERED}
    assert [
        (h.offers[0].agent_id, h.offers[0].outcome, h.offers[0].ring_ms) for h in (accepted, busy, unanswered)
    ] == [
        ("1001", "accepted", 719),
        ("1003", "busy", 0),
        ("1002", "no_answer", 4_939),
    ]
    assert [(i.value, i.ms) for i in accepted.intervals] == [("ringing", 720), ("talking", 8_080)]


def test_who_hung_up_and_whose_wait_was_over_are_told_apart() -> None:
    left, waited = (
        contact(json_cdr(leg))
        for leg in ("713a389e-d564-4e76-ba4b-d9a5570866f8", "2d8bf6d5-3712-4a30-afa3-0f311d180f3d")
    )
    assert (left.outcome, left.result, left.wait_ms, left.ended_by) == (
        "abandoned",
        "short_abandon",
        2_087,
        "caller",
    )
    assert (waited.outcome, waited.result, waited.overflow_reason) == ("overflowed", "timed_out", "max_wait")
    assert waited.wait_ms == 5_067


def test_a_call_without_a_queue_is_a_contact_only_when_its_number_is_named() -> None:
    direct = "ca5061e8-4156-4771-b6d8-c9e7b255c47c"
    assert json_cdr(direct).contact is None
    one = contact(json_cdr(direct, Names(numbers={"9002": "reception"})))
    assert (one.entry_point, one.start, one.outcome, one.queued) == ("reception", "ivr", "transferred", False)


@pytest.mark.parametrize("name", ["example", "snom", "linksys", "sql", "asterisk"])
def test_the_templates_of_freeswitch_are_recognised_by_their_first_line(name: str) -> None:
    line = (VECTORS / "cdr_csv" / f"{name}.csv").read_text().splitlines()[0]
    form = cdr_csv.form_of(line)
    assert isinstance(form, cdr_csv.Template)
    assert form.name == name
    leg = cdr_csv.leg_of_values(cdr_csv.Clock(ZoneInfo("UTC")).complete(form.read(line)))
    assert leg.leg_id in line
    assert (len(leg.leg_id), leg.hangup_cause) == (36, "NORMAL_CLEARING")
    assert leg.ended_at_us - leg.started_at_us == leg.duration_ms * 1000 > 0


def test_a_name_with_the_separator_in_it_is_put_together_again() -> None:
    form = cdr_csv.Template.of(cdr_csv.TEMPLATES["example"])
    good = '"x","y" ","0912","9000","public","2026-11-22 12:34:41","","2026-11-22 12:34:55","14","0","USER_BUSY","u-1","","","PCMA","PCMA"'
    assert form.read(good)["caller_id_name"] == 'x","y" '
    assert form.read(good)["uuid"] == "u-1"
    with pytest.raises(BadLine, match="start_stamp of the template"):
        form.read(good.replace("2026-11-22 12:34:41", "yesterday"))
    with pytest.raises(BadLine, match="expected 15 values"):
        form.read('"1","2"')


def test_an_export_with_a_header_is_read_by_its_names() -> None:
    header = "xml_cdr_uuid;direction;caller_id_number;destination_number;start_epoch;answer_epoch;end_epoch;duration;billsec;cc_side;cc_queue;cc_queue_joined_epoch;cc_cause;cc_cancel_reason;hangup_cause"
    form = cdr_csv.form_of(header)
    line = "u-9;inbound;0912;9000;1795350890;1795350890;1795350896;6;6;member;q@d;1795350890;cancel;TIMEOUT;NORMAL_CLEARING"
    variables = cdr_csv.Clock(ZoneInfo("UTC")).complete(form.read(line))
    history = cdr.history_of(cdr_csv.leg_of_values(variables), variables, Names(), "acme", derived_id)
    assert (contact(history).outcome, contact(history).wait_ms, contact(history).queue) == (
        "overflowed",
        6_000,
        "q",
    )
    with pytest.raises(BadLine, match="expected 15 columns"):
        form.read("u-9;inbound")


def test_a_file_of_no_known_form_is_refused_with_what_is_known() -> None:
    with pytest.raises(BadLine, match="give yours with --template"):
        cdr_csv.form_of("a,b,c")
    with pytest.raises(BadLine, match="without it a leg has no identity"):
        cdr_csv.Template.of('"${start_stamp}","${end_stamp}"')


def test_the_hour_that_came_twice_is_read_by_the_order_of_the_file_and_the_duration() -> None:
    clock = cdr_csv.Clock(BERLIN)
    # 2026-10-25 03:00 summer time is 02:00 winter time: 02:30 is 00:30 and 01:30 UTC.
    one = clock.complete(
        {"start_stamp": "2026-10-25 02:20:00", "end_stamp": "2026-10-25 02:30:00", "duration": "600"}
    )
    across = clock.complete(
        {"start_stamp": "2026-10-25 02:50:00", "end_stamp": "2026-10-25 02:10:00", "duration": "1200"}
    )
    late = clock.complete(
        {"start_stamp": "2026-10-25 02:25:00", "end_stamp": "2026-10-25 02:30:00", "duration": "300"}
    )

    def utc(text: str) -> str:
        return str(int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000)

    assert (one["start_uepoch"], one["end_uepoch"]) == (utc("2026-10-25 00:20"), utc("2026-10-25 00:30"))
    assert (across["start_uepoch"], across["end_uepoch"]) == (
        utc("2026-10-25 00:50"),
        utc("2026-10-25 01:10"),
    )
    assert (late["start_uepoch"], late["end_uepoch"]) == (utc("2026-10-25 01:25"), utc("2026-10-25 01:30"))
    assert clock.doubtful == 3


def test_an_hour_that_never_was_says_that_the_time_zone_is_wrong() -> None:
    with pytest.raises(BadLine, match="did not exist in Europe/Berlin"):
        readings("2026-03-29 02:30:00", BERLIN)
    assert readings("2026-03-29 02:30:00+0330", BERLIN) == (1_774_738_800_000_000,)


def test_an_imported_leg_claims_no_source_and_no_contact_of_its_own() -> None:
    line = (VECTORS / "cdr_csv" / "example.csv").read_text().splitlines()[0]
    form = cdr_csv.form_of(line)
    variables = cdr_csv.Clock(ZoneInfo("UTC")).complete(form.read(line))
    history = cdr.history_of(cdr_csv.leg_of_values(variables), variables, Names(), "acme", derived_id)
    (row,) = rows_of_history(history)
    assert row.table == "legs"
    assert row.values[:3] == (
        "acme",
        datetime(2026, 11, 22, tzinfo=UTC).date(),
        "00000000-0000-4000-8000-000000000001",
    )
    assert row.values[3:5] == ((0, 0), (0, 0))  # from_socket, from_spool


def test_the_lists_of_mod_callcenter_become_the_part_of_a_center_document() -> None:
    lists = callcenter.Lists(Names(queues={"support@default": "support"}))
    for name in ("agent_list", "tier_list", "queue_list"):
        header, *rows = (VECTORS / "callcenter" / f"callcenter_{name}.txt").read_text().splitlines()
        columns = lists.header(header)
        for row in rows:
            if row and row != "+OK":
                lists.take(columns, row)
    document = lists.document()
    assert document["queues"] == {
        "support": {"name": {"en": "support"}, "strategy": "linear"},
        "nobody": {"name": {"en": "nobody"}, "strategy": "longest_idle", "max_wait_s": 6},
    }
    assert document["agents"]["1001"] == {
        "name": {"en": "1001"},
        "extension": "1001",
        "queues": [{"queue": "support", "priority": 1}],
    }


def test_the_events_of_mod_callcenter_tell_when_agents_were_there() -> None:
    events = callcenter.Events("acme", Names())
    found = []
    for line in (VECTORS / "callcenter" / "events.jsonl").read_text().splitlines():
        found += events.take(line)
    for at_s, status in (
        (1_795_351_000, "Available"),
        (1_795_351_600, "On Break"),
        (1_795_351_660, "Logged Out"),
    ):
        found += events.take(
            f'{{"CC-Action": "agent-status-change", "CC-Agent": "1001@default", "CC-Agent-Status": "{status}",'
            f' "Event-Date-Timestamp": "{at_s}000000"}}'
        )
    told = [(i.agent_id, i.value, i.ms) for h in found for i in h.intervals]
    assert told == [("1001", "available", 600_000), ("1001", "break", 60_000)]
    with pytest.raises(BadLine, match="Event-Date-Timestamp"):
        list(events.take("{}"))
