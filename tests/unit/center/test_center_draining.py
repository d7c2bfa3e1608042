"""A queue that is deleted goes on in the revisions that follow, with those who served it, for a day."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.center import CenterSet, CenterWatch, load
from services.center.draining import KEPT_US, dump, with_retired
from services.center.draining import load as load_retired
from services.center.hours import closed_queues
from services.center.model import Center, ServedQueue
from services.common.errors import DecodeError
from services.queue.adapters.centers import plans_of
from services.routing.adapters.centers import center_of
from services.routing.core.center import QueueOrder
from tests.unit.center.test_center_faults import GOOD
from tests.unit.center.test_center_store import Installation, installation
from tests.unit.center.test_center_watch import write

assert installation
THREE = GOOD.replace(
    "  two: {name: {en: Two}}\n",
    "  two: {name: {en: Two}}\n  vip: {name: {en: Vip}, recording: true, closing: {hours: office, then: {queue: two}}}\n",
).replace("queues: [one]}", "queues: [one, {queue: vip, priority: 2, after_s: 30}]}")
AT_US = 1_795_248_000_000_000


@pytest.fixture
def documents(tmp_path: Path) -> tuple[Center, Center]:
    """With the queue vip, and without."""
    (tmp_path / "three.yaml").write_text(THREE)
    (tmp_path / "two.yaml").write_text(GOOD)
    return load(tmp_path / "three.yaml").centers[0], load(tmp_path / "two.yaml").centers[0]


def test_routing_and_queue_get_the_deleted_queue_with_its_agents(documents: tuple[Center, Center]) -> None:
    three, two = documents
    after = with_retired(two, three, AT_US)
    assert after.retired["vip"].agents == {"ann": ServedQueue(queue="vip", priority=2, after_s=30)}
    rules = center_of(after)
    assert rules.draining == {"vip"}
    assert not rules.takes("vip")
    assert rules.takes("one")
    assert rules.agents["ann"].queues == ("one", "vip")
    assert rules.agents["ann"].orders == {"vip": QueueOrder(2, 30_000)}
    assert rules.agents["bob"].queues == ("one", "two")
    (plan,) = plans_of(CenterSet((after,)), "/sounds").centers
    assert plan.queues["vip"].recording, "what was recorded is recorded to the end"
    night_us = AT_US + 15 * 3600 * 1_000_000
    assert "vip" in closed_queues(three, night_us)
    assert "vip" in closed_queues(after, night_us)


def test_it_is_carried_on_until_it_is_back_or_a_day_is_over(documents: tuple[Center, Center]) -> None:
    three, two = documents
    after = with_retired(two, three, AT_US)
    assert with_retired(two, after, AT_US + KEPT_US - 1).retired["vip"].at_us == AT_US
    assert with_retired(two, after, AT_US + KEPT_US).retired == {}
    assert with_retired(three, after, AT_US + 1).retired == {}
    assert load_retired(dump(after.retired)) == after.retired
    with pytest.raises(DecodeError, match="retired"):
        load_retired(b'{"vip": {"colour": "red"}}')


async def test_a_process_that_starts_after_the_queue_was_deleted_drains_it(
    installation: Installation,
) -> None:
    await installation.revise(THREE)
    await installation.revise(GOOD)
    await installation.revise(GOOD.replace("en: Acme", "en: Acme Two"))
    async with installation.process() as later:
        (center,) = later.watch.current.centers
        assert list(center.queues) == ["one", "two"]
        assert list(center.retired) == ["vip"]
        assert center.retired["vip"].queue.closing is not None
        await installation.revise(THREE)
        await later.until_name("Acme")
        assert later.watch.current.centers[0].retired == {}


async def test_where_files_rule_it_drains_as_long_as_the_process_lives(tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    write(file, THREE)
    watch = CenterWatch(file)
    write(file, GOOD)
    assert await watch.refresh()
    assert list(watch.current.centers[0].retired) == ["vip"]
    assert CenterWatch(file).current.centers[0].retired == {}
