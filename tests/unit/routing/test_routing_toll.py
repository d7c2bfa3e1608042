"""Who may call which numbers outside: nobody by default, the nearest level decides, what is forbidden stays so, and every refusal is told."""

from __future__ import annotations

from msgspec.structs import replace

from services.center import load
from services.center.hours import closed_queues
from services.routing.adapters.centers import center_of
from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, CallbackRules, QueueRules
from services.routing.core.toll import (
    FORBIDDEN,
    HOURS,
    LIMIT,
    LONGEST_US,
    TENANT,
    Refusal,
    Rights,
    Tolls,
    refusal,
)
from tests.unit.routing.floor import Floor, center

NOW = 1_700_000_000_000_000
NOBODY = Tolls()


def why(number: str, *rights: Rights, closed: frozenset[str] = frozenset()) -> str:
    names = ("agent:ann", "team:t", TENANT)[-len(rights) :]
    found = refusal(number, tuple(zip(names, rights, strict=True)), NOBODY, closed, NOW)
    return found.slug if found else ""


def test_nobody_may_call_anything_that_is_not_allowed() -> None:
    assert why("021", Rights()) == FORBIDDEN
    assert why("021", Rights(), Rights(), Rights(allowed=("0",))) == ""
    assert why("911", Rights(), Rights(), Rights(allowed=("0",))) == FORBIDDEN
    assert why("021", Rights(allowed=()), Rights(), Rights(allowed=("0",))) == FORBIDDEN, (
        "the nearest decides"
    )
    assert why("911", Rights(allowed=("9",)), Rights(), Rights(allowed=("0",))) == ""


def test_what_any_level_forbids_is_forbidden() -> None:
    assert why("0049", Rights(allowed=("0",)), Rights(), Rights(forbidden=("00",))) == FORBIDDEN
    assert why("021", Rights(allowed=("0",), forbidden=("021",)), Rights(), Rights()) == FORBIDDEN


def test_hours_of_any_level() -> None:
    rights = (Rights(), Rights(), Rights(allowed=("0",)))
    for payer in ("calls:", "calls:team:t", "calls:agent:ann"):
        assert why("021", *rights, closed=frozenset({payer})) == HOURS
    assert why("021", *rights, closed=frozenset({"calls:agent:bob"})) == ""


def test_a_call_whose_end_nobody_told_of_counts_for_half_a_day() -> None:
    tolls = Tolls()
    tolls.dialled("c1", ("agent:ann",), NOW, goes_on=True)
    levels = (("agent:ann", Rights(allowed=("0",), at_once=1)),)
    found = refusal("021", levels, tolls, frozenset(), NOW + 1)
    assert found == Refusal(LIMIT, "agent:ann", "1 calls at once, the limit is 1")
    assert refusal("021", levels, tolls, frozenset(), NOW + LONGEST_US) is None


def test_a_refused_transfer_is_told_with_its_reason_and_the_agent_keeps_the_caller() -> None:
    floor = Floor(replace(center(), calls=Rights(allowed=("0",), forbidden=("00",))))
    floor.available("sara")
    floor.waits("c1", "support")
    floor.talks("c1")
    floor.send(
        i.TransferRequested, request_id="w1", offer_id="o", contact_id="c1", agent_id="sara",
        target_kind="number", target="0049301234",
    )  # fmt: skip
    told, refused = floor.new_facts()
    assert isinstance(told, f.CallRefused)
    assert (told.agent_id, told.number, told.purpose, told.reason, told.request_id) == (
        "sara",
        "0049301234",
        "transfer",
        "number-forbidden",
        "w1",
    )
    assert isinstance(refused, f.TransferRefused)
    assert refused.reason == "number-forbidden"
    assert floor.engine.state.contacts["c1"].status == "talking"


def test_a_transferred_call_counts_until_its_leg_is_over_or_back() -> None:
    rules = replace(
        center({"q": QueueRules()}, {"ann": AgentRules("1001", ("q",), calls=Rights(at_once=1))}),
        calls=Rights(allowed=("0",)),
    )
    floor = Floor(rules)
    floor.available("ann")
    for n, ending in enumerate(["gone", "back", "gone"]):
        contact = f"c{n}"
        floor.waits(contact, "q")
        floor.talks(contact)
        floor.send(
            i.TransferRequested, request_id=f"w{n}", offer_id="o", contact_id=contact, agent_id="ann",
            target_kind="number", target="021",
        )  # fmt: skip
        assert contact in floor.engine.state.tolls.going
        if ending == "gone":
            floor.send(i.ContactGone, contact_id=contact)
        else:
            floor.send(
                i.ContactWaiting, contact_id=contact, node="fs1", queue="q", waiting_since_us=floor.now_us,
                recovered=True,
            )  # fmt: skip
            assert floor.engine.state.contacts[contact].status in ("waiting", "offered")
            floor.send(i.ContactGone, contact_id=contact)
        assert contact not in floor.engine.state.tolls.going
        floor.pass_ms(30_000)
        floor.available("ann")


def test_a_callback_to_another_number_is_the_tenants_to_pay() -> None:
    queue = QueueRules(callback=CallbackRules())
    floor = Floor(replace(center({"q": queue}, {}), calls=Rights(forbidden=("00",), a_minute=1)))
    for contact, number, own in (("c1", "0049", False), ("c2", "0912", False), ("c3", "0913", False)):
        floor.waits(contact, "q")
        floor.send(i.CallbackAccepted, contact_id=contact, number=number, own_number=own)
    refused = floor.facts(f.CallRefused)
    assert [(x.number, x.reason, x.actor) for x in refused] == [
        ("0049", "number-forbidden", "caller"),
        ("0913", "limit-reached", "caller"),
    ]
    assert sorted(c.number for c in floor.engine.state.contacts.values() if c.no_leg) == ["0912"]
    floor.send(i.CallbackAccepted, contact_id="c3", number="0913", own_number=True)
    assert len(floor.engine.state.callbacks) == 2, "the caller's own number is nobody's choice"


def test_rights_of_a_document() -> None:
    document = load("deploy/centers/demo.yaml").tenant("demo")
    assert document is not None
    rules = center_of(document)
    (agent, own), (team, teams), (tenant, everybody) = rules.payers("sara")
    assert (agent, team, tenant) == ("agent:sara", "team:sales", "")
    assert (own.a_minute, own.a_day, own.at_once) == (6, 150, 1), "each agent's, for sara has none of her own"
    assert teams == Rights()
    assert (everybody.allowed, everybody.forbidden, everybody.a_minute) == (("0", "+98"), ("00", "0909"), 60)
    assert rules.agents["sara"].caller_id == "02191000000"
    shut = document.model_copy(update={"calls": document.calls.model_copy(update={"hours": "office"})})
    friday_us = 1_763_700_000_000_000
    assert "calls:" in closed_queues(shut, friday_us)
