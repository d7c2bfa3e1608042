"""Every fault of a center document is reported with its line and path, and all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.center import CenterError, asking_prompts, load, load_files
from services.center.__main__ import main

GOOD = """\
tenant: acme
name: {en: Acme}
timezone: Asia/Tehran
languages: [en]
default_entry_point: "500"
prompts:
  hello: {en: Hello}
  menu: {en: Press one}
  logged-in: {en: x}
  logged-out: {en: x}
  on-break: {en: x}
  available: {en: x}
  saved: {en: x}
  not-possible: {en: x}
  place-before: {en: You are number}
  place-after: {en: in the queue}
calendars:
  office:
    open: {sat-wed: ["08:00-12:00", "13:00-20:00"], thu: ["08:00-13:00"]}
    closed_on: ["2026-03-21"]
    special: {"2026-03-20": ["09:00-10:00"]}
skills: [sales]
queues:
  one:
    name: {en: One}
    skills: {sales: 1}
    announce_position: {prompt: place}
    max_wait: {after_s: 60, then: {queue: two}}
  two: {name: {en: Two}}
agents:
  ann: {name: {en: Ann}, extension: "601", skills: {sales: 3}, queues: [one]}
  bob: {name: {en: Bob}, extension: "602", queues: [one, two]}
entry_points:
  "500": {name: {en: Line}, flow: main, language: en, fallback_queue: one}
flows:
  main:
    start: greet
    nodes:
      greet: {play: hello, then: hours}
      hours: {hours: office, open: menu, closed: bye}
      menu:
        menu: menu
        digits: {"1": to-one, "2": number}
        otherwise: to-two
      number: {ask: hello, into: customer, max_digits: 8, then: read, otherwise: to-two}
      read: {say: customer, then: to-one}
      to-one: {queue: one, skills: {sales: 2}}
      to-two: {queue: two}
      bye: {hangup: true}
"""

# (what is replaced, by what, line of the fault, its path, part of its message)
FAULTS = [
    ("tenant: acme", "tenant: Acme Inc", 1, "tenant", "match pattern"),
    ("tenant: acme", "tenant: acme\ntenant: other", 2, "tenant", "duplicate key; first on line 1"),
    ("tenant: acme", "tenant: acme\ncolour: red", 2, "colour", "unknown setting"),
    ("tenant: acme\n", "", 1, "tenant", "is missing"),
    ("tenant: acme", "tenant: acme\n  x: y", 2, "", "not YAML"),
    ("tenant: acme", "tenant: !!int acme", 1, "tenant", "tags such as"),
    ("timezone: Asia/Tehran", "timezone: Asia/Teheran2", 3, "timezone", 'unknown time zone "Asia/Teheran2"'),
    ("languages: [en]", "languages: [en, de]", 4, "languages.1", 'unknown language "de"; expected one of en, fa'),
    ("languages: [en]", "languages: [en, en]", 4, "languages", "named twice"),
    ('point: "500"', 'point: "501"', 5, "default_entry_point", 'unknown entry point "501"; expected one of 500'),
    ('point: "500"', "point: 500", 5, "default_entry_point", "valid string"),
    (
        "queues: [one]}", "queues: [one], team: red}",
        31, "agents.ann.team", 'unknown team "red"; none is declared under teams',
    ),
    ("agents:\n", "teams:\n  red: {name: {en: Red}, supervisors: [x, x]}\nagents:\n", 31, "teams.red.supervisors.1", "named twice"),
    ("agents:\n", "teams:\n  red: {name: {en: Red}, supervisors: []}\nagents:\n", 31, "teams.red.supervisors", "at least 1"),
    (
        "skills: [sales]",
        'break_reasons: [{code: tea, key: "1", name: {en: x}}, {code: rest, key: "1", name: {en: x}}]\nskills: [sales]',
        22, "break_reasons.1.key", 'key 1 is already that of "tea"',
    ),
    ("queues: [one]}", 'queues: [one], number: "+98 912"}', 31, "agents.ann.number", "match pattern"),
    ("queues: [one]}", 'queues: [one], number: "09121112233"}', 31, "agents.ann.number", 'unknown prompt "agent-confirm"'),
    ("queues: [one]}", "queues: [one], confirm: false}", 31, "agents.ann.confirm", "confirm needs number"),
    ("queues: [one]}", 'queues: [one], confirm: false, number: "602"}', 31, "agents.ann.number", "602 is not outside"),
    ("queues: [one]}", 'queues: [one], confirm: false, number: "500"}', 31, "agents.ann.number", "500 is not outside"),
    (
        "agents:\n", 'agents:\n  zoe: {name: {en: Z}, extension: "603", queues: [one], confirm: false, number: "0912"}\n'
        '  zia: {name: {en: Z}, extension: "604", queues: [one], confirm: false, number: "0912"}\n',
        32, "agents.zia.number", 'already that of agent "zoe"',
    ),
    (
        "agents:\n", 'trunks: {t: {gateway: g}}\nroutes: [{prefix: "0", trunks: [t]}]\nagents:\n'
        '  zoe: {name: {en: Z}, extension: "603", queues: [one], confirm: false, number: "+98912"}\n',
        33, "agents.zoe.number", "no route leads to +98912",
    ),
    (
        "agents:\n", 'calls: {forbidden: ["00"]}\nagents:\n'
        '  zoe: {name: {en: Z}, extension: "603", queues: [one], confirm: false, number: "0044"}\n',
        32, "agents.zoe.number", "calls.forbidden forbids 0044",
    ),
    ("queues: [one]}", "queues: [one], capacity: {fax: 1}}", 31, "agents.ann.capacity.fax", 'unknown channel "fax"'),
    ("queues: [one]}", "queues: [one], capacity: {call: 2}}", 31, "agents.ann.capacity.call", "expected 1 or 0"),
    ("skills: [sales]", "routing: {channels: {call: {capacity: 1}}}\nskills: [sales]", 22, "routing.channels.call", "a call always fills"),
    (
        "skills: [sales]", "routing: {channels: {chat: {capacity: 3, interrupted_by: [fax]}}}\nskills: [sales]",
        22, "routing.channels.chat.interrupted_by.0", 'unknown channel "fax"; expected one of call, chat',
    ),
    (
        "skills: [sales]", "routing: {channels: {chat: {capacity: 3, interrupted_by: [chat]}}}\nskills: [sales]",
        22, "routing.channels.chat.interrupted_by.0", "cannot interrupt itself",
    ),
    ("skills: [sales]", "tariffs: {currency: rial}\nskills: [sales]", 22, "tariffs.currency", "match pattern"),
    ("skills: [sales]", "tariffs: {currency: IRR, minute: -1}\nskills: [sales]", 22, "tariffs.minute", "greater than or equal to 0"),
    ("skills: [sales]", "tariffs: {currency: IRR, minute: .inf}\nskills: [sales]", 22, "tariffs.minute", "instance of Decimal"),
    ("skills: [sales]", "tariffs: {currency: IRR, minute: true}\nskills: [sales]", 22, "tariffs.minute", "Decimal"),
    ("skills: [sales]", "tariffs: {currency: IRR, minute: 0.1234567}\nskills: [sales]", 22, "tariffs.minute", "6 decimal places"),
    ("skills: [sales]", "tariffs: {currency: IRR, lines: 3}\nskills: [sales]", 22, "tariffs", "line_month and lines go together"),
    (
        "skills: [sales]", "tariffs: {currency: IRR, contact: {fax: 1}}\nskills: [sales]",
        22, "tariffs.contact.fax", 'unknown channel "fax"; expected one of voice',
    ),
    ("skills: [sales]", "reports: {calendar: lunar}\nskills: [sales]", 22, "reports.calendar", "gregorian"),
    ("skills: [sales]", "reports: {week_start: fri}\nskills: [sales]", 22, "reports.week_start", "sat"),
    ("skills: [sales]", "reports: {fcr_days: 31}\nskills: [sales]", 22, "reports.fcr_days", "less than or equal to 30"),
    ("languages: [en]", "languages: [en, fa]", 7, "prompts.hello", 'has no text in "fa"'),
    ("hello: {en: Hello}", "hello: {en: Hello, fa: x}", 7, "prompts.hello.fa", 'unknown language "fa"'),
    ("  saved: {en: x}\n", "", 6, "prompts", 'unknown prompt "saved"'),
    ("  place-after: {en: in the queue}\n", "", 26, "queues.one.announce_position", 'unknown prompt "place-after"'),
    ('"08:00-12:00"', '"8:00-12:00"', 19, "calendars.office.open.sat-wed.0", 'bad time "8:00"'),
    ('"08:00-12:00"', '"08:00-12:61"', 19, "calendars.office.open.sat-wed.0", 'bad time "12:61"'),
    ('"08:00-12:00"', '"22:00-02:00"', 19, "calendars.office.open.sat-wed.0", "ends before it starts"),
    ('"13:00-20:00"', '"11:00-20:00"', 19, "calendars.office.open.sat-wed.1", "overlaps another"),
    ("thu: [", "tue: [", 19, "calendars.office.open.tue", "name the same weekday"),
    ("thu: [", "thursday: [", 19, "calendars.office.open.thursday", 'bad day "thursday"'),
    ('"2026-03-21"', '"2026-02-30"', 20, "calendars.office.closed_on.0", 'there is no day "2026-02-30"'),
    ('"2026-03-21"', '"21.3.2026"', 20, "calendars.office.closed_on.0", 'bad date "21.3.2026"'),
    ('"2026-03-20"', '"2026-03-21"', 21, "calendars.office.special.2026-03-21", "also in closed_on"),
    ("skills: [sales]", "skills: [sales, sales]", 22, "skills.1", "named twice"),
    ("skills: {sales: 1}", "skills: {sails: 1}", 26, "queues.one.skills.sails", 'unknown skill "sails"'),
    ("skills: {sales: 1}", "skills: {sales: 11}", 26, "queues.one.skills.sales", "less than or equal to 5"),
    ("skills: {sales: 1}", "ring_s: fast", 26, "queues.one.ring_s", "valid integer"),
    ("after_s: 60", "after_s: 60.5", 28, "queues.one.max_wait.after_s", "valid integer"),
    ("then: {queue: two}", "then: {queue: three}", 28, "queues.one.max_wait.then.queue", 'unknown queue "three"'),
    ("then: {queue: two}", "then: {queue: one}", 28, "queues.one.max_wait.then.queue", "goes round: one -> one"),
    ("then: {queue: two}", "then: {}", 28, "queues.one.max_wait.then", "exactly one of queue, hangup, transfer"),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, max_length: 3}", 29, "queues.two.max_length", "needs full or max_wait"),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, full: {queue: one}}", 29, "queues.two.full", "needs max_length"),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, strategy: fastest}", 29, "queues.two.strategy", "longest_idle"),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, ring_at_once: 3}", 29, "queues.two.ring_at_once", "ring_all"),
    ("two: {name: {en: Two}}", 'two: {name: {en: Two}, steps: [{skills: "sales >=", for_s: 5}]}', 29,
     "queues.two.steps.0.skills", "column 9: expected a level"),
    ("two: {name: {en: Two}}", 'two: {name: {en: Two}, steps: [{skills: "sales or sails", for_s: 5}]}', 29,
     "queues.two.steps.0.skills", 'unknown skill "sails"'),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, dispositions: [sold]}", 29, "queues.two.dispositions.0",
     'unknown disposition "sold"'),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, wrap_up_s: 60, wrap_up: {max_s: 30}}", 29,
     "queues.two.wrap_up.max_s", "shorter than wrap_up_s"),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, no_agent: {then: {queue: one}}}", 29,
     "queues.two.no_agent.then.queue", "no_agent goes round: two -> one -> two"),
    ("then: {queue: two}", "then: {voicemail: {}}", 28, "queues.one.max_wait.then.voicemail.prompt",
     'unknown prompt "leave-message"'),
    ("then: {queue: two}", "then: {voicemail: {prompt: hello}}", 1, "voicemail.thanks", 'unknown prompt "message-thanks"'),
    ("then: {queue: two}", "then: {queue: two, transfer: '+982'}", 28, "queues.one.max_wait.then", "expected exactly one"),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, announce_wait: {}}", 29, "queues.two.announce_wait",
     'unknown prompt "wait-before"'),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, messages: [{prompts: [hello, nothing], every_s: 60}]}", 29,
     "queues.two.messages.0.prompts.1", 'unknown prompt "nothing"'),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, messages: [{prompts: [hello, menu]}]}", 29,
     "queues.two.messages.0", "several prompts need every_s"),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, keys: {'1': {queue: three}}}", 29,
     "queues.two.keys.1.queue", 'unknown queue "three"'),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, keys: {'1': {queue: two}}}", 29,
     "queues.two.keys.1.queue", "the queue that the caller is in"),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, keys: {'12': {queue: one}}}", 29, "queues.two.keys.12",
     "String should match pattern"),
    ("then: {queue: two}", "then: {callback: true}", 28, "queues.one.max_wait.then.callback", 'callback needs callback settings of queue "one"'),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, callback: {hours: never}}", 29, "queues.two.callback.hours", 'unknown calendar "never"'),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, callback: {}}", 29, "queues.two.callback", 'unknown prompt "callback-offer"'),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, callback: {prefixes: [abc]}}", 29, "queues.two.callback.prefixes.0", "should match pattern"),
    ("two: {name: {en: Two}}", "two: {name: {en: Two}, callback: {expires_s: 60}}", 29, "queues.two.callback", "pause_s (900) is not shorter than expires_s (60)"),
    ("queues: [one]}", "queues: [{queue: one, priority: 0}]}", 31, "agents.ann.queues.0.priority", "greater than or equal to 1"),
    ("queues: [one]}", "queues: [{queue: three}]}", 31, "agents.ann.queues.0", 'unknown queue "three"'),
    ("to-two: {queue: two}", "to-two: {queue: two, prefer: ann}", 48, "flows.main.nodes.to-two.prefer", "needs preferred_s"),
    ("to-two: {queue: two}", "to-two: {queue: two, class: gold}", 48, "flows.main.nodes.to-two.class", 'unknown class "gold"'),
    ('extension: "601"', 'extension: "602"', 32, "agents.bob.extension", "extension 602 is already"),
    ('extension: "601"', 'extension: "500"', 31, "agents.ann.extension", "is already an entry point of acme"),
    ("queues: [one]}", "queues: [one, one]}", 31, "agents.ann.queues.1", "named twice"),
    ("queues: [one]}", "queues: []}", 31, "agents.ann.queues", "at least 1 item"),
    ("flow: main", "flow: other", 34, "entry_points.500.flow", 'unknown flow "other"; expected one of main'),
    ("fallback_queue: one", "fallback_queue: six", 34, "entry_points.500.fallback_queue", 'unknown queue "six"'),
    ("language: en", "language: fa", 34, "entry_points.500.language", 'unknown language "fa"'),
    ("start: greet", "start: hi", 37, "flows.main.start", 'unknown node "hi"'),
    ("then: hours", "then: houses", 39, "flows.main.nodes.greet.then", 'unknown node "houses"'),
    ("play: hello", "play: hallo", 39, "flows.main.nodes.greet.play", 'unknown prompt "hallo"'),
    ("greet: {play: hello,", "greet: {play: hello, say: entry,", 39, "flows.main.nodes.greet", "exactly one of"),
    ("greet: {play: hello,", "greet: {sing: hello,", 39, "flows.main.nodes.greet", "found none"),
    ("hours: office", "hours: night", 40, "flows.main.nodes.hours.hours", 'unknown calendar "night"'),
    ('"1": to-one', '"1": to-x', 43, "flows.main.nodes.menu.digits.1", 'unknown node "to-x"; expected one of bye'),
    ('"1": to-one', '"x": to-one', 43, "flows.main.nodes.menu.digits.x", "match pattern"),
    ("        otherwise: to-two", "", 41, "flows.main.nodes.menu.otherwise", "is missing"),
    ("        otherwise: to-two", "        otherwise: menu", 44, "flows.main.nodes.menu.otherwise", "no way out"),
    ("        otherwise: to-two", "        otherwise: greet", 44, "flows.main.nodes.menu.otherwise", "greet -> hours"),
    ("into: customer", "into: caller", 45, "flows.main.nodes.number.into", "set by the call itself"),
    ("max_digits: 8", "max_digits: 8, min_digits: 9", 45, "flows.main.nodes.number", "max_digits is smaller"),
    ("say: customer", "say: custom", 46, "flows.main.nodes.read.say", 'unknown variable "custom"'),
    ("{queue: one, skills: {sales: 2}}", "{queue: nine}", 47, "flows.main.nodes.to-one.queue", 'unknown queue "nine"'),
    ("{queue: one, skills: {sales: 2}}", "{queue: one, skills: {x: 2}}", 47, "flows.main.nodes.to-one.skills.x", "skill"),
    ("{hangup: true}", "{hangup: false}", 49, "flows.main.nodes.bye.hangup", "True"),
    ("bye: {hangup: true}", "bye: {hangup: true}\n      lost: {hangup: true}", 50, "flows.main.nodes.lost", "never reached"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "message"), FAULTS, ids=[f"{f[3]}-{f[4][:20]}" for f in FAULTS]
)
def test_fault_names_file_line_and_path(
    tmp_path: Path, old: str, new: str, line: int, path: str, message: str
) -> None:
    assert GOOD.count(old) >= 1
    file = tmp_path / "acme.yaml"
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(CenterError) as caught:
        load(file)
    matching = [f for f in caught.value.faults if f.line == line and f.path == path and message in f.message]
    assert matching, str(caught.value)
    assert f"{file}:{line}: {path}{': ' if path else ''}" in str(caught.value)


def test_good_document_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text(GOOD)
    centers = load(file)
    center = centers.centers[0]
    assert center.tenant == "acme"
    assert len(center.revision) == 12
    assert centers.entry("500")[1] == "500"
    assert centers.entry("999")[1] == "500", "an unknown number is served by the default entry point"
    found = centers.agent_at("602")
    assert found is not None
    assert found[1] == "bob"
    assert centers.agent_at("699") is None


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text(
        GOOD.replace("then: hours", "then: x").replace("flow: main", "flow: y").replace("[one, two]", "[z]")
    )
    with pytest.raises(CenterError) as caught:
        load(file)
    assert {32, 34, 39} <= {f.line for f in caught.value.faults}


def test_numbers_tenants_and_folders_are_unique_over_all_documents(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD)
    with pytest.raises(CenterError) as caught:
        load(tmp_path)
    faults = {f.path: f for f in caught.value.faults}
    assert set(faults) == {
        "tenant", "prompts_dir", "entry_points.500", "agents.ann.extension", "agents.bob.extension",
    }  # fmt: skip
    assert all(f.file.endswith("b.yaml") for f in faults.values())
    assert faults["entry_points.500"].line == 34


def test_audio_is_checked_when_the_sounds_folder_is_given(tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text(GOOD)
    with pytest.raises(
        CenterError, match=r"acme\.yaml:7: prompts\.hello: no audio file .*/prompts/en/hello\.wav"
    ):
        load(file, sounds_dir=tmp_path / "sounds")


@pytest.mark.parametrize(
    "text",
    ["", "- a\n- b\n", "just text", "\x00", "a: [", "a: *b", "tenant: &a [*a]\n", "? [x]\n: y\n", "{" * 3000],
    ids=["empty", "list", "scalar", "nul", "open", "alias", "self-alias", "list-as-key", "deep"],
)
def test_what_is_no_document_at_all_is_refused_with_a_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(CenterError) as caught:
        load(file)
    assert caught.value.faults[0].line >= 1


def test_aliases_of_aliases_are_bounded(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    file = tmp_path / "bomb.yaml"
    file.write_text("\n".join(lines))
    with pytest.raises(CenterError, match="more than 50000 values"):
        load(file)


def test_missing_file_and_empty_folder_are_faults(tmp_path: Path) -> None:
    with pytest.raises(CenterError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    with pytest.raises(CenterError, match="no center document"):
        load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"tenant: \xe9")
    with pytest.raises(CenterError, match="cannot be read"):
        load_files([tmp_path / "latin.yaml"])


def test_check_command_lists_faults_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(GOOD)
    bad.write_text(GOOD.replace("then: hours", "then: houses"))
    assert main(["check", str(good)]) == 0
    assert "acme, revision" in capsys.readouterr().out
    assert main(["check", str(bad)]) == 1
    assert "bad.yaml:39: flows.main.nodes.greet.then: unknown node" in capsys.readouterr().err
    assert main(["check", str(good), str(bad)]) == 1


def test_the_demo_center_is_right() -> None:
    centers = load(Path(__file__).parents[3] / "deploy" / "centers")
    center = centers.centers[0]
    assert center.tenant == "demo"
    assert len(center.queues) == 3
    assert len(center.agents) == 48
    assert asking_prompts(center) == {"main-menu", "ask-customer", "is-right", "crowded"}
