"""Faults of nodes that speak and understand are found, each at its line; what is sound passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.center import CenterError, asking_prompts, load

SHOP = Path(__file__).parents[3] / "deploy" / "centers" / "examples" / "shop.yaml"
TEXT = SHOP.read_text(encoding="utf-8")

# (what is replaced, by what, path of the fault, part of its message)
FAULTS = [
    ("order {customer}. You", "order {costumer}. You", "flows.shop.nodes.order-told.speak.en", 'unknown variable "costumer"'),
    ("order {customer}. You", "order {customer. You", "flows.shop.nodes.order-told.speak", "has no other one"),
    ("order {customer}. You", "order {A b}. You", "flows.shop.nodes.order-told.speak", "names no variable"),
    ("pattern: \"[1-9]xxxxx\"", "secret: true", "flows.shop.nodes.order.secret", "goes to the agent"),
    ("          en: We are looking up", "          de: We are looking up", "flows.shop.nodes.order-told.speak", 'nothing in "en"'),
    ("          en: We are looking up", "          de: We are looking up", "flows.shop.nodes.order-told.speak.de", 'unknown language "de"'),
    ("then: orders\n        otherwise: orders", "then: orders", "flows.shop.nodes.order-told.otherwise", "is missing"),
    ('digits: {"1": order, "2": return, "3": questions, "0": connect}', 'digits: {"1": order, "3": questions, "0": connect}', "flows.shop.nodes.wish.hears.return", "no key leads to"),
    ('digits: {"1": order, "2": return', 'digits: {"12": order, "2": return', "flows.shop.nodes.wish.digits.12", "String should match"),
    ("en: [an agent, speak to somebody, customer service]", "en: [an agent, Order-Status]", "flows.shop.nodes.wish.hears.connect.en.1", '"Order-Status" matches two edges'),
    ("fa: [کارشناس, همکار شما, اپراتور]", "fa: [كارشناس, سفارش من كجاست]", "flows.shop.nodes.wish.hears.connect.fa.1", "matches two edges"),
    ("fa: [کارشناس, همکار شما, اپراتور]", "fa: [کارشناس, كارشناس]", "flows.shop.nodes.wish.hears.connect.fa.1", "which is here already"),
    ("fa: [کارشناس, همکار شما, اپراتور]\n", "", "flows.shop.nodes.wish.hears.connect", 'nothing in "fa"'),
    ("en: [a question, i have a question]", 'en: ["..."]', "flows.shop.nodes.wish.hears.questions.en.0", "nothing that can be said"),
    ("otherwise: connect\n      order:", "otherwise: wish\n      order:", "flows.shop.nodes.wish.otherwise", "no way out"),
    ("listen: wish", "listen: wishes", "flows.shop.nodes.wish.listen", 'unknown prompt "wishes"'),
    ("play: return-how\n          payment", "play: return-who\n          payment", "flows.questions.nodes.ask.answers.return.play", 'unknown prompt "return-who"'),
    ("play: return-how\n          payment", "then: bye\n          payment", "flows.questions.nodes.ask.answers.return.then", "unknown setting"),
    ('key: "2"\n', 'key: "1"\n', "flows.questions.nodes.ask", "key 1 is that of delivery and of cost"),
    ('person: {to: person, key: "0"', 'person: {to: nobody, key: "0"', "flows.questions.nodes.ask.person.to", 'unknown node "nobody"'),
    ("          delivery:\n", "          more:\n", "flows.questions.nodes.ask", "cannot be called more"),
    ("no thank you, that is all", "no thank you, shipping cost", "flows.questions.nodes.ask.done.says.en.2", "matches two edges: this one and answers.cost.asked"),
    ("otherwise: person\n", "otherwise: ask\n", "flows.questions.nodes.ask.otherwise", "no way out"),
    ("voices: {fa: fa, en: en-us}", 'voices: {fa: fa, en: "-f /etc/passwd"}', "speech.voices.en", "String should match"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "path", "message"), FAULTS, ids=[f"{f[2]}: {f[3]}" for f in FAULTS])
def test_a_fault_has_its_line_and_path(tmp_path: Path, old: str, new: str, path: str, message: str) -> None:
    assert TEXT.count(old) >= 1, old
    file = tmp_path / "shop.yaml"
    file.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CenterError) as caught:
        load(file)
    found = [fault for fault in caught.value.faults if fault.path == path and message in fault.message]
    assert found, caught.value
    assert found[0].line > 1
    assert found[0].line <= len(TEXT.splitlines())


def test_a_secret_is_not_spoken(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    secret = TEXT.replace("into: customer", "into: pin\n        secret: true").replace("{customer}", "{pin}")
    file.write_text(secret, encoding="utf-8")
    with pytest.raises(CenterError, match='variable "pin" is secret and cannot be spoken'):
        load(file)


def test_who_is_asked_may_answer_by_key() -> None:
    center = load(SHOP).centers[0]
    asked = asking_prompts(center)
    assert {"wish", "which-question", "anything-else"} <= asked
    assert "return-how" not in asked, "an answer asks nothing"
