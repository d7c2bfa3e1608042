"""The wallboard in a real headless Chromium, over HTTP, fed from the bus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from services.center import Center
from services.common import pages
from services.common.auth import issue
from services.common.bus import Outgoing, subjects
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import ManualClock
from services.common.http import Readiness, make_app
from services.contracts.peyvand.routing.v1 import log_pb2 as routing
from services.reporting.live_api import PAGES, LiveFeed, build_router
from tests.e2e.accessibility import violations
from tests.e2e.browser import Browser, available, chromium
from tests.e2e.served import Served
from tests.unit.reporting_live.demo_feed import DemoDay, append_all, big_center

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not available(), reason="needs chromium and chromedriver (Debian: chromium, chromium-driver)"
    ),
]

SECRET = "not-a-secret-only-for-these-tests-000"
NOW_US = 1_795_258_329_000_000  # 2026-11-21 14:22:09 in Tehran, 30 Aban 1405
PERSIAN_DIGITS = "۰۱۲۳۴۵۶۷۸۹"
# A page's own clock that a test can push forward.
SKIPPABLE_CLOCK = """
  window.skippedMs = 0;
  const real = performance.now.bind(performance);
  performance.now = () => real() + window.skippedMs;
"""


class Site(Served):
    """reporting's wallboard, with a bus that holds an afternoon of calls."""

    def __init__(self, center: Center) -> None:
        super().__init__()
        self.center = center
        self.clock = ManualClock(NOW_US)
        self.connected = True
        self.token = issue(SECRET, tenant="demo", role="display", subject="wall", ttl_s=600)

    def url(self, **fragment: str) -> str:
        inside = "&".join(f"{k}={v}" for k, v in fragment.items())
        return f"http://127.0.0.1:{self.port}/wallboard#{inside}"

    async def decide(self, fact_id: str, **fact: Any) -> None:
        at_us = self.clock.now_us()
        entry = routing.Decided(epoch=1, at_us=at_us, facts=[routing.Fact(**fact)])
        await self._bus.append(Outgoing(subjects.log("demo"), entry, fact_id, "demo", time_us=at_us))

    async def drop_viewers(self) -> int:
        """Cut every stream, as a restart of the process would; returns how many there were."""
        viewers = [v for t in self.feed._tenants.values() for v in t.viewers]
        for viewer in viewers:
            viewer.close()
        return len(viewers)

    async def build(self) -> FastAPI:
        self._bus = MemoryBus(MemoryBroker(self.clock), clock=self.clock)
        day = DemoDay(self.center, now_us=NOW_US, hours=3.5, calls_per_minute=5)
        await append_all(self._bus, "demo", day)
        self.feed = LiveFeed(self.clock, source_ok=lambda: self.connected, frame_s=0.2)
        await self.feed.start(self._bus, [self.center])
        app = make_app("reporting", "0", Readiness(), auth_secret=SECRET)
        app.include_router(build_router(self.feed))
        app.include_router(pages.build_router(PAGES))
        return app

    async def close(self) -> None:
        await self.feed.stop()
        await self._bus.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(big_center(tmp_path_factory.mktemp("center")))
    site.start()
    yield site
    site.stop()


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=SKIPPABLE_CLOCK)
        yield browser


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    window.size(1920, 1080)
    window.errors()
    yield window
    window.open("about:blank")  # closes the stream


def show(browser: Browser, site: Site, **fragment: str) -> None:
    browser.open(site.url(token=site.token, **{"lang": "en", "theme": "light", **fragment}))
    browser.until("return document.querySelector('[data-tile]') !== null")


def tile(browser: Browser, name: str) -> str:
    return str(browser.run(f"return document.querySelector('[data-tile={name}] .value').textContent"))


def test_the_board_shows_the_frame_without_a_complaint_of_the_browser(browser: Browser, site: Site) -> None:
    show(browser, site)
    assert browser.run("return document.querySelector('h1').innerText") == "\u2068Customer care\u2069, live"
    rows = browser.run("return [...document.querySelectorAll('[data-queue]')].map(r => r.dataset.queue)")
    assert rows == list(site.center.queues)
    before = int(tile(browser, "waiting"))
    queued = routing.ContactQueued(contact_id="new", queue="vip", waiting_since_us=site.clock.now_us())
    site.do(site.decide("new-1", contact_queued=queued))
    browser.until(
        f"return document.querySelector('[data-tile=waiting] .value').textContent === '{before + 1}'"
    )
    assert browser.run("return document.querySelector('[data-queue=vip] .col-waiting').innerText") == "1"
    site.do(
        site.decide(
            "new-2",
            contact_closed=routing.ContactClosed(
                contact_id="new", queue="vip", outcome="abandoned", wait_ms=100
            ),
        )
    )
    browser.until(f"return document.querySelector('[data-tile=waiting] .value').textContent === '{before}'")
    assert browser.errors() == []  # also: nothing that the content security policy refused


def test_persian_is_right_to_left_with_persian_digits_and_date(browser: Browser, site: Site) -> None:
    show(browser, site, lang="fa", theme="dark")
    root = browser.run("const r = document.documentElement; return [r.lang, r.dir, r.dataset.theme]")
    assert root == ["fa", "rtl", "dark"]
    assert browser.run("return document.querySelector('.day').textContent") == "شنبه ۳۰ آبان ۱۴۰۵"
    clock = browser.run("return document.querySelector('.clock').textContent")
    assert clock.startswith("۱۴:۲۲:")
    numbers = browser.run(
        "return [...document.querySelectorAll('.value, .queues td, .time')].map(e => e.innerText).join('')"
    )
    assert any(d in numbers for d in PERSIAN_DIGITS)
    assert not any(d in numbers for d in "0123456789")
    assert browser.run("return document.fonts.check('16px Vazirmatn', 'سلام')")


def test_language_and_theme_by_keyboard_alone(browser: Browser, site: Site) -> None:
    show(browser, site)
    browser.press("\ue004", "\ue004")  # Tab: past the skip link to the first control
    assert browser.run("return document.activeElement.id") == "language"
    browser.press("\ue007")  # Enter
    browser.until("return document.documentElement.lang === 'fa'")
    assert "lang=fa" in browser.run("return location.hash")
    browser.press("\ue004", "\ue00d")  # Tab, Space
    browser.until("return document.documentElement.dataset.theme === 'dark'")
    assert browser.run("return document.activeElement.id") == "theme"  # focus survives the repainting
    assert site.token in browser.run("return location.hash")


def test_old_numbers_are_marked_and_greyed(browser: Browser, site: Site) -> None:
    show(browser, site)
    browser.until("return document.getElementById('link').dataset.link === 'live'")
    site.connected = False
    try:
        browser.run("window.skippedMs += 6000")
        browser.until("return document.getElementById('link').dataset.link === 'late'")
        assert not browser.run("return document.documentElement.classList.contains('stale')")
        browser.run("window.skippedMs += 10000")
        browser.until("return document.getElementById('link').dataset.link === 'lost'")
        assert browser.run("return document.documentElement.classList.contains('stale')")
        assert "old" in browser.run("return document.getElementById('urgent').textContent")
    finally:
        site.connected = True
    browser.until("return document.getElementById('link').dataset.link === 'live'")
    assert not browser.run("return document.documentElement.classList.contains('stale')")


def test_a_cut_stream_is_made_again(browser: Browser, site: Site) -> None:
    show(browser, site)
    assert site.do(site.drop_viewers()) >= 1  # a page that was left may still be closing
    queued = routing.ContactQueued(contact_id="cut", queue="vip", waiting_since_us=site.clock.now_us())
    before = int(tile(browser, "waiting"))
    site.do(site.decide("cut-1", contact_queued=queued))
    browser.until(
        f"return document.querySelector('[data-tile=waiting] .value').textContent === '{before + 1}'"
    )
    closed = routing.ContactClosed(contact_id="cut", queue="vip", outcome="abandoned", wait_ms=100)
    site.do(site.decide("cut-2", contact_closed=closed))


def test_a_page_that_was_left_holds_no_stream(browser: Browser, site: Site) -> None:
    show(browser, site)
    assert site.feed.viewers >= 1
    browser.open("about:blank")
    deadline = time.monotonic() + 20
    while site.feed.viewers and time.monotonic() < deadline:
        time.sleep(0.05)
    assert site.feed.viewers == 0


def test_a_new_alarm_is_told_to_screen_readers(browser: Browser, site: Site) -> None:
    show(browser, site)
    site.do(site.decide("node-1", node_changed=routing.NodeChanged(node="fs9", up=False)))
    browser.until("return document.querySelector('[data-alarm=node_down]') !== null")
    assert "fs9" in browser.run("return document.getElementById('polite').textContent")
    site.do(site.decide("node-2", node_changed=routing.NodeChanged(node="fs9", up=True)))
    browser.until("return document.querySelector('[data-alarm=node_down]') === null")


def test_without_a_token_the_page_asks_for_one(browser: Browser, site: Site) -> None:
    show(browser, site)
    browser.run("sessionStorage.clear()")  # a tab keeps its token
    browser.open(site.url(lang="en"))
    browser.until("return document.getElementById('token') !== null")
    browser.run("document.getElementById('token').value = arguments[0]", "nonsense")
    browser.run("document.querySelector('#signin button').click()")
    browser.until("return document.querySelector('.signin [role=alert]') !== null")
    browser.run("document.getElementById('token').value = arguments[0]", f" {site.token} ")
    browser.run("document.querySelector('#signin button').click()")
    browser.until("return document.querySelector('[data-tile]') !== null")


@pytest.mark.parametrize("language", ["en", "fa"])
@pytest.mark.parametrize(
    ("width", "height"), [(3840, 2160), (1920, 1080), (1366, 768), (1000, 800), (390, 844), (320, 640)]
)
def test_nothing_is_cut_off(browser: Browser, site: Site, width: int, height: int, language: str) -> None:
    browser.size(width, height)
    show(browser, site, lang=language)
    page = browser.run("const r = document.documentElement; return [r.scrollWidth, r.scrollHeight]")
    assert page[0] <= width
    if width >= 1366:
        assert page[1] <= height  # a wall is one screen
    outside = browser.run(
        "return [...document.querySelectorAll('.tile *, .queues td *, .person *')].filter(e => {"
        " const b = e.getBoundingClientRect(); return b.right > innerWidth + 1 || b.left < -1; }).length"
    )
    assert outside == 0


def test_reduced_motion_and_the_systems_dark_theme_are_followed(browser: Browser, site: Site) -> None:
    features = [
        {"name": "prefers-color-scheme", "value": "dark"},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.cdp("Emulation.setEmulatedMedia", features=features)
    try:
        browser.open(f"http://127.0.0.1:{site.port}/wallboard#token={site.token}&lang=en")
        browser.until("return document.querySelector('[data-tile]') !== null")
        assert browser.run("return document.documentElement.dataset.theme") == "dark"
        assert browser.run("return document.getAnimations().length") == 0
    finally:
        browser.cdp("Emulation.setEmulatedMedia", features=[])


@pytest.mark.parametrize(
    ("language", "theme"), [("en", "light"), ("en", "dark"), ("fa", "light"), ("fa", "dark")]
)
def test_axe_finds_no_violation(browser: Browser, site: Site, language: str, theme: str) -> None:
    show(browser, site, lang=language, theme=theme)
    assert violations(browser) == []
