"""Web services, customers and surveys in a center document: every fault has its line, and what is sound passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.center import CenterError, load
from services.center.callers import normal
from services.center.customer_api import customers_of
from services.common.errors import Refused

BANK = Path(__file__).parents[3] / "deploy" / "centers" / "examples" / "bank.yaml"

# (what is replaced, by what, path of the fault, part of its message)
FAULTS = [
    ("https://core.bank.example/api", "core.bank.example", "web.core.url", "expected https://host"),
    ("https://core.bank.example/api", "https://u:p@core.bank.example", "web.core.url", "expected no user"),
    ("https://core.bank.example/api", "https://core.bank.example/api/", "web.core.url", "no / at the end"),
    ("https://core.bank.example/api", "https://core.bank.example:99999", "web.core.url", "bad address"),
    ("https://core.bank.example/api", "ftp://core.bank.example", "web.core.url", "expected https://host"),
    ("https://core.bank.example/api", "http://core.bank.example", "web.core", "a secret header needs an address"),
    ("Authorization: {secret", "Author ization: {secret", "web.core.headers.Author ization", "match pattern"),
    ("{secret: core-token", "{secret: ../core", "web.core.headers.Authorization", "match pattern"),
    ("  core:\n    url", "  twin: {url: https://core.bank.example}\n  core:\n    url", "web.core.url", 'that of the service "twin"'),
    ("customer_lookup:\n  http: core", "customer_lookup:\n  http: cores", "customer_lookup.http", 'unknown web service "cores"'),
    ("number={number}", "number={caller}", "customer_lookup.path", 'unknown variable "caller"'),
    ("number={number}", "number=1", "customer_lookup", "nothing in it names the number"),
    ("number={number}", "number={number", "customer_lookup.path", "a brace without its other one"),
    ("customer: $.id", "custom: $.id", "customer_lookup.into.custom", "Input should be"),
    ("customer: $.id", "customer: $..id", "customer_lookup.into.customer", "may find several values"),
    ("customer: $.id", "customer: id", "customer_lookup.into.customer", "bad JSON path"),
    ("class: premium, agent: nima, language: en}", "class: gold, agent: nima, language: en}", "customers.+989351112233.class", 'unknown class "gold"'),
    ("class: premium, agent: nima, language: en}", "agent: bob, language: en}", "customers.+989351112233.agent", 'unknown agent "bob"'),
    ("class: premium, agent: nima, language: en}", "language: de}", "customers.+989351112233.language", 'unknown language "de"'),
    ('"+989351112244"', '"09351112233"', "customers.09351112233", 'the same as "+989351112233"'),
    ("http: core, path: \"/customers/{customer}", "http: crm, path: \"/customers/{customer}", "flows.front.nodes.balance.http",
     'unknown web service "crm"; expected one of core'),
    ("/customers/{customer}/balance", "/customers/{nobody}/balance", "flows.front.nodes.balance.path", 'unknown variable "nobody"'),
    ("/customers/{customer}/balance", "/customers/../balance", "flows.front.nodes.balance.path", "no . and .."),
    ("into: {balance: $.balance.rials}", "into: {language: $.x}", "flows.front.nodes.balance.into.language", "set by the call itself"),
    ("into: {balance: $.balance.rials}", "into: {money: $.x}", "flows.front.nodes.balance-amount.say", 'unknown variable "balance"'),
    ('status: {"404": no-account}', 'status: {"404": nobody}', "flows.front.nodes.balance.status.404", 'unknown node "nobody"'),
    ('status: {"404": no-account}', 'status: {"99": no-account}', "flows.front.nodes.balance.status.99", "match pattern"),
    ("timeout_s: 2, retries: 1", "body: {a: b}, retries: 1", "flows.front.nodes.balance", "GET has no body"),
    ("timeout_s: 2, retries: 1", "headers: {authorization: x}, retries: 1", "flows.front.nodes.balance.headers.authorization",
     "that of the service"),
    ("caller: {lookup: caller", "caller: {lookup: calls", "flows.front.nodes.caller.lookup", 'unknown variable "calls"'),
    ("agent: $customer_agent", "agent: $advisor", "flows.front.nodes.advisor.agent", 'unknown variable "advisor"'),
    ("agent: $customer_agent", "agent: bob", "flows.front.nodes.advisor.agent", 'unknown agent "bob"'),
    ("agent: $customer_agent, to: loans", "agent: nima, to: cards", "flows.front.nodes.advisor.to", 'agent "nima" does not serve'),
    ("{voicemail: {prompt: leave-message}}", "{voicemail: {prompt: say-it}}", "flows.front.nodes.advisor.no_answer.voicemail.prompt", 'unknown prompt "say-it"'),
    ("{voicemail: {prompt: leave-message}}", "{hangup: {prompt: bye}}", "flows.front.nodes.advisor.no_answer.hangup.prompt", 'unknown prompt "bye"'),
    ("{voicemail: {prompt: leave-message}}", "{queue: loan}", "flows.front.nodes.advisor.no_answer.queue", 'unknown queue "loan"'),
    ("{voicemail: {prompt: leave-message}}", "{queue: loans}", "flows.front.nodes.advisor.no_answer.queue", "in that queue already"),
    ("{voicemail: {prompt: leave-message}}", "{callback: true}", "flows.front.nodes.advisor.no_answer.callback", 'needs callback settings of queue "loans"'),
    ("{voicemail: {prompt: leave-message}}", "{queue: cards, hangup: {prompt: goodbye}}", "flows.front.nodes.advisor.no_answer", "expected exactly one of"),
    ("agent: $customer_agent, to: loans", "agent: nima, to: loan", "flows.front.nodes.advisor.to", 'unknown queue "loan"'),
    ("busy: to-loans, away: to-loans,", "busy: to-loans,", "flows.front.nodes.advisor.away", "is missing"),
    ("{queue: loans, class: $customer_class}", "{queue: loans, class: $class}", "flows.front.nodes.to-loans.class", 'unknown variable "class"'),
    ("flow: after-call, share", "flow: after, share", "queues.general.survey.flow", 'unknown flow "after"'),
    ("flow: after-call, share", "flow: identify, share", "queues.general.survey.flow", "takes tries: it can only be called"),
    ("flow: after-call, share", "flow: lost-card, share", "queues.general.survey.flow", 'has a queue ("cards")'),
    ("{survey: after-call, then", "{survey: front, then", "flows.front.nodes.loans.survey", "a survey is asked of a caller"),
    ("{survey: after-call, then", "{survey: true, then", "flows.front.nodes.loans.survey", "Input should be"),
    ("rate: ask-quality,", "rate: ask-quantity,", "flows.after-call.nodes.quality.rate", 'unknown prompt "ask-quantity"'),
    ("least: 0, most: 10", "least: 0, most: 11", "flows.after-call.nodes.recommend.most", "less than or equal to 10"),
    ("comment: ask-why", "comment: ask-whom", "flows.after-call.nodes.why.comment", 'unknown prompt "ask-whom"'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "path", "message"), FAULTS, ids=[f"{f[2]}-{f[3][:24]}" for f in FAULTS]
)
def test_a_fault_has_its_line_and_path(tmp_path: Path, old: str, new: str, path: str, message: str) -> None:
    text = BANK.read_text()
    assert old in text
    file = tmp_path / "bank.yaml"
    changed = text.replace(old, new, 1)
    file.write_text(changed)
    with pytest.raises(CenterError) as caught:
        load(file)
    found = [f for f in caught.value.faults if f.path.startswith(path) and message in f.message]
    assert found, str(caught.value)
    expected = text[: text.index(old)].count("\n") + 1
    assert abs(found[0].line - expected) <= 4, (found[0].line, expected)


SECRET = """
      pin: {ask: ask-customer, into: pin, max_digits: 4, secret: true, then: check, otherwise: bye}
      check: {http: core, method: POST, path: /check, body: {number: "{caller}", pin: "{pin}"}, then: bye, otherwise: bye}
      bye: {play: goodbye"""


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        (
            "path: /check",
            "path: '/check?pin={pin}'",
            "path",
            'variable "pin" is secret and belongs into the body',
        ),
        ("path: /check", "headers: {X-Pin: '{pin}'}", "headers.X-Pin", "belongs into the body"),
    ],
)
def test_a_secret_goes_into_bodies_only(tmp_path: Path, old: str, new: str, path: str, message: str) -> None:
    file = tmp_path / "bank.yaml"
    text = (
        BANK.read_text()
        .replace("\n      bye: {play: goodbye", SECRET, 1)
        .replace('"4": account', '"4": account, "5": pin', 1)
    )
    file.write_text(text)
    load(file)
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(CenterError, match=message) as caught:
        load(file)
    assert any(f.path == f"flows.front.nodes.check.{path}" for f in caught.value.faults)


def test_a_lookup_without_anything_to_look_into(tmp_path: Path) -> None:
    text = BANK.read_text()
    begin, end = text.index("customer_lookup:"), text.index("agents:\n")
    file = tmp_path / "bank.yaml"
    file.write_text(text[:begin] + text[end:])
    load(file)
    begin = text.index("customers:\n")
    between = text[text.index("web:\n") : text.index("customer_lookup:")]
    file.write_text(text[:begin] + between + text[end:])
    with pytest.raises(CenterError, match="nobody is known"):
        load(file)


@pytest.mark.parametrize(
    ("number", "country", "plain"),
    [
        ("+98 912-123", "98", "98912123"), ("0098912", "98", "98912"), ("0912", "98", "98912"), ("0912", "", "0912"),
        ("98912", "98", "98912"), ("", "98", ""), ("anonymous", "98", ""),
    ],
)  # fmt: skip
def test_numbers_are_the_same_however_they_are_written(number: str, country: str, plain: str) -> None:
    assert normal(number, country) == plain


def test_a_table_of_customers() -> None:
    table = "\ufeffname,number,class\nSara,+98912,premium\n,0935,\n".encode()
    assert customers_of(table) == {"+98912": {"name": "Sara", "class": "premium"}, "0935": {}}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"name\nSara\n", "line 1: expected columns among number"),
        (b"number,colour\n1,red\n", "found number, colour"),
        (b"number,name\n1,a,b\n", "line 2: more cells than columns"),
        (b"number\n1\n1\n", "line 3: number '1' stands there twice"),
        (b'number\n"1\n', "unexpected end of data"),
        (b"number\n\xff\n", "expected UTF-8"),
    ],
)
def test_a_table_that_is_wrong_says_where(table: bytes, message: str) -> None:
    with pytest.raises(Refused, match=message):
        customers_of(table)
