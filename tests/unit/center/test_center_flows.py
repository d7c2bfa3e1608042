"""Every fault of a flow is found, at its line, and what is sound passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.center import CenterError, load
from tests.unit.center.test_center_faults import GOOD

FLOWS = """\
flows:
  main:
    version: 3
    language: en
    start: choose
    nodes:
      choose: {language: hello, digits: {"1": en, "2": fa}, then: hours}
      hours: {hours: office, open: menu, closed: closed, emergency: alarm}
      alarm: {play: [hello, menu], skip: true, then: menu-again}
      menu:
        menu: menu
        digits: {"1": full, "2": number, "3": split, "4": card}
        invalid: hello
        otherwise: to-two
      number: {ask: hello, into: customer, min_digits: 4, max_digits: 8, pattern: ["4xxx", "[5-7]xxxxxxx"], then: known, otherwise: to-two}
      known: {branch: customer, is: {"4711": vip}, between: {"4000-4100": vip}, otherwise: told}
      vip: {set: {level: gold, copy: $customer}, then: told}
      told: {say: customer, as: ordinal, then: right}
      right: {confirm: hello, yes: full, no: number, otherwise: to-two}
      card: {ask: hello, into: pin, max_digits: 16, luhn: true, secret: true, ends_with: "*", gap_s: 3, then: message, otherwise: to-two}
      message: {record: hello, queue: two, then: bye, otherwise: to-two}
      split: {split: {to-one: 30, weigh: 70}}
      weigh: {call: sub, with: {amount: "125000"}, then: {done: paid, failed: menu-again}}
      paid: {say: level, as: number, then: bye}
      menu-again: {flow: other}
      full: {look: one, waiting_over: 5, ready_under: 1, then: to-back, otherwise: to-one}
      closed: {play: hello, then: bye}
      to-one: {queue: one, skills: {sales: 2}}
      to-two: {queue: two}
      to-back: {callback: one}
      bye: {hangup: true, as: told}
  sub:
    takes: [amount]
    start: say
    nodes:
      say: {say: amount, as: money, currency: toman, then: sure}
      sure: {confirm: hello, yes: mark, no: failed, otherwise: failed}
      mark: {set: {level: "2"}, then: done}
      done: {return: done}
      failed: {return: failed}
  other:
    start: date
    nodes:
      date: {say: "1406-01-01", as: date, then: out}
      out: {transfer: "+98212", otherwise: bye}
      bye: {hangup: true}
"""
PROMPTS = "".join(
    f"  callback-{what}: {{en: x}}\n"
    for what in ("offer", "number", "confirm", "enter", "refused", "taken", "customer", "agent", "missed")
)
DOCUMENT = (
    (GOOD.split("flows:\n")[0] + FLOWS)
    .replace("prompts:\n", "prompts:\n" + PROMPTS)
    .replace("skills: {sales: 1}\n", "skills: {sales: 1}\n    callback: {}\n")
    .replace("languages: [en]", "languages: [en, fa]")
    .replace("{en: x}", "{en: x, fa: x}")
    .replace("{en: Hello}", "{en: Hello, fa: x}")
    .replace("{en: Press one}", "{en: Press one, fa: x}")
    .replace("{en: You are number}", "{en: You are number, fa: x}")
    .replace("{en: in the queue}", "{en: in the queue, fa: x}")
)

# (what is replaced, by what, path of the fault below flows, part of its message)
FAULTS = [
    ("version: 3", "version: 0", "main.version", "greater than or equal to 1"),
    ("language: en\n    start", "language: de\n    start", "main.language", 'unknown language "de"'),
    ('{"1": en, "2": fa}', '{"1": en, "2": de}', "main.nodes.choose.digits.2", 'unknown language "de"'),
    ('{"1": en, "2": fa}', '{"1": en, "2": en}', "main.nodes.choose.digits.2", "chosen by 1 already"),
    ('{"1": en, "2": fa}', '{"1": en}', "main.nodes.choose.digits", "at least 2"),
    ("emergency: alarm", "emergency: fire", "main.nodes.hours.emergency", 'unknown node "fire"'),
    ("play: [hello, menu]", "play: [hello, nothing]", "main.nodes.alarm.play.1", 'unknown prompt "nothing"'),
    ("invalid: hello\n", "invalid: nothing\n", "main.nodes.menu.invalid", 'unknown prompt "nothing"'),
    ('"1": full,', '"1": full, "12": number,', "main.nodes.menu.digits.12", "matches 1 too; gap_s says"),
    ("menu: menu\n", "menu: menu\n        gap_s: 2\n", "main.nodes.menu.gap_s", "nothing is waited for"),
    ('"4xxx"', '"4xx"', "main.nodes.number", 'pattern "4xx" has 3 digits, expected 4 to 8'),
    ("[5-7]", "[7-5]", "main.nodes.number", "ends before it begins"),
    ('"4xxx"', '"4abc"', "main.nodes.number.pattern.0", "match pattern"),
    ('{"4000-4100": vip}', '{"4100-4000": vip}', "main.nodes.known", "ends before it begins"),
    ('{"4000-4100": vip}', '{"4000-4800": vip}', "main.nodes.known.is.4711", '"4711" matches two edges'),
    ('{"4000-4100": vip}', '{"1-5": vip, "5-9": vip}', "main.nodes.known.between.5-9", "matches two edges"),
    ("between: {", 'begins: {"47": vip}, between: {', "main.nodes.known.is.4711", "matches two edges"),
    ("between: {", 'begins: {"3": vip, "35": vip}, between: {', "main.nodes.known.begins.35", "matches two edges"),
    ('branch: customer, is: {"4711": vip}, between: {"4000-4100": vip}', "branch: customer", "main.nodes.known",
     "expected is, begins or between"),
    ("branch: customer", "branch: customs", "main.nodes.known.branch", 'unknown variable "customs"'),
    ("branch: customer", "branch: copy", "main.nodes.known.branch", 'variable "copy" is not set on every way to "known"'),
    ("copy: $customer", "copy: $level2", "main.nodes.vip.set.copy", 'unknown variable "level2"'),
    ("copy: $customer", "caller: x", "main.nodes.vip.set.caller", "set by the call itself"),
    ("level: gold", "language: de", "main.nodes.vip.set.language", 'unknown language "de"'),
    ("copy: $customer", "copy: $pin", "main.nodes.vip.set.copy", "is secret and cannot be copied"),
    ("say: customer", "say: pin", "main.nodes.told.say", "is secret and cannot be read out"),
    ("into: pin", "into: customer", "main.nodes.card.secret", "goes to the agent"),
    ("as: ordinal", "as: money", "main.nodes.told", "money and currency belong together"),
    ("as: ordinal", "as: ordinal, calendar: jalali", "main.nodes.told", "calendar is for as: date"),
    ("record: hello, queue: two", "record: hello, queue: three", "main.nodes.message.queue", 'unknown queue "three"'),
    ("to-one: 30, weigh: 70", "to-one: 30, weigh: 60", "main.nodes.split", "add up to 90, expected 100"),
    ("to-one: 30, weigh: 70", "to-x: 30, weigh: 70", "main.nodes.split.split.to-x", 'unknown node "to-x"'),
    ("call: sub", "call: sob", "main.nodes.weigh.call", 'unknown flow "sob"'),
    ("call: sub", "call: other", "main.nodes.weigh.call", "never returns"),
    ("{amount: \"125000\"}", "{}", "main.nodes.weigh.with", 'flow "sub" takes "amount"'),
    ("{amount: \"125000\"}", '{amount: "1", more: "2"}', "main.nodes.weigh.with.more", 'unknown variable "more"'),
    ("{done: paid, failed: menu-again}", "{done: paid}", "main.nodes.weigh.then", 'may return "failed", which leads nowhere'),
    ("failed: menu-again}", "failed: menu-again, odd: bye}", "main.nodes.weigh.then.odd", 'unknown return "odd"'),
    ("{set: {level: \"2\"}, then: done}", "{play: hello, then: done}", "main.nodes.paid.say", 'variable "level"'),
    ("{flow: other}", "{flow: others}", "main.nodes.menu-again.flow", 'unknown flow "others"'),
    ("{flow: other}", "{flow: sub}", "main.nodes.menu-again.flow", "takes amount: it can only be called"),
    ("out: {transfer: \"+98212\", otherwise: bye}", "out: {flow: main}", "other.nodes.out.flow", "a caller who presses nothing goes round"),
    ("failed: {return: failed}", "failed: {call: sub, with: {amount: \"1\"}, then: {done: done}}", "sub.nodes.failed.call",
     "flows call each other in a circle: sub -> sub"),
    ("look: one", "look: ones", "main.nodes.full.look", 'unknown queue "ones"'),
    ("look: one, waiting_over: 5, ready_under: 1", "look: one", "main.nodes.full", "expected waiting_over"),
    ("{callback: one}", "{callback: two}", "main.nodes.to-back.callback", 'queue "two" has no callback settings'),
    ("{callback: one}", "{callback: one, skills: {x: 1}}", "main.nodes.to-back.skills.x", 'unknown skill "x"'),
    ("takes: [amount]", "takes: [amount, caller]", "sub.takes.1", "set by the call itself"),
    ("closed: {play: hello, then: bye}", "closed: {play: hello, then: hours}", "main.nodes.closed.then", "goes round: hours -> closed -> hours"),
    ("no: number, otherwise: to-two}", "no: number, otherwise: right}", "main.nodes.right.otherwise", "no way out"),
    ("message: {record", "messages: {record", "main.nodes.card.then", 'unknown node "message"'),
]  # fmt: skip


def test_a_document_with_every_kind_of_node_is_sound(tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text(DOCUMENT)
    center = load(file).centers[0]
    assert center.flows["main"].version == 3
    assert center.first_language(center.entry_points["500"]) == "en"


@pytest.mark.parametrize(
    ("old", "new", "path", "message"), FAULTS, ids=[f"{f[2]}-{f[3][:24]}" for f in FAULTS]
)
def test_a_fault_of_a_flow_has_its_line_and_path(
    tmp_path: Path, old: str, new: str, path: str, message: str
) -> None:
    assert DOCUMENT.count(old) >= 1, old
    file = tmp_path / "acme.yaml"
    text = DOCUMENT.replace(old, new, 1)
    file.write_text(text)
    with pytest.raises(CenterError) as caught:
        load(file)
    found = [f for f in caught.value.faults if f.path == f"flows.{path}" and message in f.message]
    assert found, str(caught.value)
    # The line is that of the node or below it, never of the whole flow.
    assert found[0].line > text[: text.index("flows:\n")].count("\n") + 1


def test_a_flow_that_is_called_is_no_beginning(tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text(DOCUMENT.replace("flow: main, language: en,", "flow: sub,"))
    with pytest.raises(CenterError) as caught:
        load(file)
    messages = {f.message for f in caught.value.faults if f.path.startswith("entry_points.500")}
    assert messages == {
        'flow "sub" takes amount: it can only be called',
        'flow "sub" returns: it can only be called',
        'neither the entry point nor flow "sub" has a language',
    }


def test_days_of_every_year_and_of_the_jalali_calendar(tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    bad = DOCUMENT.replace(
        'closed_on: ["2026-03-21"]',
        'closed_on: ["1405-13-01"]\n    closed_yearly: ["13-01", "12-25", "12-25"]',
    )
    file.write_text(bad)
    with pytest.raises(CenterError) as caught:
        load(file)
    found = {f.path: f.message for f in caught.value.faults}
    assert found["calendars.office.closed_on.0"] == 'there is no day "1405-13-01"'
    assert found["calendars.office.closed_yearly.0"] == 'there is no day "13-01"'
    file.write_text(bad.replace("1405-13-01", "1405-01-02").replace('"13-01", ', ""))
    with pytest.raises(CenterError, match='"12-25" is named twice'):
        load(file)
