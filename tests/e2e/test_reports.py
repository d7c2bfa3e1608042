"""The history pages in a real headless Chromium, with the real routes and a real ClickHouse behind them."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.clickhouse.embedded import EmbeddedClickHouse
from tests.e2e.accessibility import violations
from tests.e2e.browser import Browser, available, chromium
from tests.e2e.report_site import DAY, STORY, ReportSite, Weeks, at

pytestmark = [
    pytest.mark.slow,
    pytest.mark.clickhouse,
    pytest.mark.skipif(
        not available(), reason="needs chromium and chromedriver (Debian: chromium, chromium-driver)"
    ),
]

ON = DAY.isoformat()
TAB, ENTER, ESCAPE, LEFT, RIGHT, PAGE_UP = "\ue004", "\ue007", "\ue00c", "\ue012", "\ue014", "\ue00e"
PERSIAN_DIGITS = "۰۱۲۳۴۵۶۷۸۹"


@pytest.fixture(scope="module")
def site(clickhouse_server: EmbeddedClickHouse) -> Iterator[ReportSite]:
    site = ReportSite(clickhouse_server)
    site.start()
    yield site
    site.stop()


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(window: Browser) -> Browser:
    window.size(1440, 1000)
    window.errors()
    return window


def show(browser: Browser, site: ReportSite, until: str = "#figures", **fragment: str) -> None:
    browser.open(site.url(**{"view": "day", "day": ON, **fragment}))
    shown(browser, until)


def go(browser: Browser, until: str, **changes: str) -> None:
    """Change the address without loading the page anew."""
    browser.run(
        "const p = new URLSearchParams(location.hash.slice(1));"
        " for (const [name, value] of Object.entries(arguments[0])) p.set(name, value);"
        " location.hash = p",
        changes,
    )
    shown(browser, until)


def shown(browser: Browser, what: str) -> None:
    """Wait for an element, and for the answer to be the one that was asked for."""
    browser.until(
        "return document.querySelector(arguments[0]) !== null"
        " && document.querySelector('.busy')?.textContent === ''",
        what,
    )


def texts(browser: Browser, selector: str) -> list[str]:
    found: list[str] = browser.run(
        "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText.trim())", selector
    )
    return found


def address(browser: Browser) -> dict[str, str]:
    found: dict[str, str] = browser.run(
        "return Object.fromEntries(new URLSearchParams(location.hash.slice(1)))"
    )
    return found


def test_a_day_shows_its_hours_and_what_they_make_together(browser: Browser, site: ReportSite) -> None:
    show(browser, site)
    assert texts(browser, "h2") == ["Day · Saturday 21 November 2026"]
    hours = texts(browser, "#figures tbody th")
    assert (hours[0], hours[-1]) == ("07:00", "18:00")  # nobody called before and after
    column = [int(t) for t in texts(browser, "#figures tbody [data-column=offered]")]
    (total,) = texts(browser, "#figures tfoot [data-column=offered]")
    assert sum(column) == int(total) > 200
    assert texts(browser, "[data-headline=offered] dd") == [total]
    drawn = "return document.querySelector('.canvas canvas').getContext('2d').getImageData(0, 0, 800, 200).data.some(b => b > 0)"
    assert browser.run(drawn)
    rows = browser.run("return document.querySelectorAll('.chart .hidden tbody tr').length")
    assert rows == len(hours)  # what the picture shows, in words
    assert browser.errors() == []  # also: nothing that the content security policy refused


@pytest.mark.parametrize(
    ("language", "complete", "formula"),
    [
        ("en", "complete up to Saturday, 21 November 2026, 10:30:00", "abandons before S left out of both"),
        ("fa", "کامل تا شنبه ۳۰ آبان ۱۴۰۵، ۱۰:۳۰:۰۰", "رهاشده‌های پیش از S در هیچ‌کدام نیستند"),
    ],
)
def test_what_is_not_settled_yet_is_said_and_formulas_are_told_in_the_pages_language(
    browser: Browser, site: ReportSite, language: str, complete: str, formula: str
) -> None:
    try:
        site.settled_until_us = at(DAY, 10, 30)
        show(browser, site, lang=language)
        assert [re.sub("[\u2068\u2069]", "", text) for text in texts(browser, "#until")] == [complete]
    finally:
        site.settled_until_us = None
    show(browser, site, lang=language, view="queues")
    assert texts(browser, "#until") == []
    meanings = browser.run("return [...document.querySelectorAll('.meaning dd')].map(e => e.textContent)")
    assert any(formula in meaning for meaning in meanings)
    titles = browser.run("return [...document.querySelectorAll('#figures th[title]')].map(e => e.title)")
    assert any(formula in title for title in titles)


def test_the_token_does_not_stay_in_the_address_and_is_known_after_a_reload(
    browser: Browser, site: ReportSite
) -> None:
    show(browser, site)
    assert "token" not in address(browser)
    browser.run("location.reload()")
    browser.until("return document.querySelector('#figures') !== null")
    browser.run("document.getElementById('sign-out').click()")
    browser.until("return document.getElementById('token') !== null")
    assert browser.run("return sessionStorage.length") == 0


def test_a_screen_on_the_wall_may_not_see_reports_and_is_told_so(browser: Browser, site: ReportSite) -> None:
    browser.open(site.url(role="display"))
    browser.until("return document.querySelector('.signin [role=alert]') !== null")
    assert "supervisor" in browser.run("return document.querySelector('.signin [role=alert]').innerText")


def test_from_a_week_to_a_day_to_its_hours_and_back(browser: Browser, site: ReportSite) -> None:
    show(browser, site, view="week")
    assert texts(browser, "#figures tbody th")[0] == "Mon 16 Nov"
    browser.run("document.querySelector('#figures tbody tr:nth-child(6) th a').click()")
    browser.until("return document.querySelector('h2').innerText === 'Day · Saturday 21 November 2026'")
    shown(browser, "#figures")
    assert texts(browser, "#figures tbody th")[0] == "07:00"
    browser.run("history.back()")
    browser.until("return document.querySelector('h2').innerText.startsWith('Week')")
    assert address(browser)["day"] == ON


def test_compared_with_the_week_before_it_says_what_was_and_whether_that_is_better(
    browser: Browser, site: ReportSite
) -> None:
    show(browser, site, view="week", compare="previous", week_start="sun", day="2026-11-20")
    assert "8 November 2026 – 14 November 2026" in texts(browser, ".asked")[0]
    begins = [row["started_at"] for row in Weeks().segments if row.get("kind") is None]
    now = sum(at(DAY - dt.timedelta(days=6), 0) <= begin for begin in begins) + 1  # and the one that is told
    then = sum(at(DAY - dt.timedelta(days=13), 0) <= begin for begin in begins) + 1 - now
    assert now > then > 500
    (offered,) = texts(browser, "#figures tfoot [data-column=offered]")
    assert offered.split() == [f"{now:,}", "was", f"\u2068{then:,}\u2069"]
    # A number with words beside the colour: offered is neither good nor bad, the rest are judged by the catalogue.
    judged = browser.run(
        "return [...document.querySelectorAll('#figures tfoot .change')].map(e => [e.className, e.textContent])"
    )
    assert all(("better" in text) == ("good" in kind) for kind, text in judged)
    assert all(("worse" in text) == ("bad" in kind) for kind, text in judged)
    assert any("good" in kind or "bad" in kind for kind, _ in judged)


def test_persian_pages_are_right_to_left_in_jalali_days_and_persian_digits(
    browser: Browser, site: ReportSite
) -> None:
    show(browser, site, lang="fa")
    root = browser.run("const r = document.documentElement; return [r.lang, r.dir]")
    assert root == ["fa", "rtl"]
    assert texts(browser, "h2") == ["روز · شنبه ۳۰ آبان ۱۴۰۵"]
    numbers = "".join(texts(browser, "#figures tbody, .headlines dd"))
    assert any(d in numbers for d in PERSIAN_DIGITS)
    assert not any(d in numbers for d in "0123456789")
    assert browser.run("return getComputedStyle(document.querySelector('.canvas')).direction") == "ltr"
    show(browser, site, lang="fa", view="month")
    assert texts(browser, "h2") == ["ماه · ۱ آبان ۱۴۰۵ – ۳۰ آبان ۱۴۰۵"]
    assert len(texts(browser, "#figures tbody tr")) == 30
    show(browser, site, lang="fa", view="month", calendar="gregorian")
    assert len(texts(browser, "#figures tbody tr")) == 30  # November


def test_a_day_is_picked_by_keyboard_alone(browser: Browser, site: ReportSite) -> None:
    show(browser, site, lang="fa")
    browser.run("document.getElementById('before').focus()")
    browser.press(TAB, ENTER)
    browser.until("return document.activeElement.dataset.day === arguments[0]", ON)
    browser.press(LEFT)  # the next day stands to the left
    browser.until("return document.activeElement.dataset.day === '2026-11-22'")
    browser.press(PAGE_UP)
    browser.until("return document.activeElement.dataset.day === '2026-10-23'")  # 1 Azar, 1 Aban
    browser.press(ESCAPE)
    browser.until("return document.activeElement.id === 'pick-day'")
    assert address(browser)["day"] == ON
    browser.press(ENTER)
    browser.until("return document.activeElement.dataset.day === arguments[0]", ON)
    browser.press(RIGHT)
    browser.until("return document.activeElement.dataset.day === '2026-11-20'")
    browser.press(ENTER)
    browser.until("return document.querySelector('h2').innerText.includes('۲۹ آبان')")
    assert address(browser)["day"] == "2026-11-20"


def test_from_a_figure_to_its_contacts_to_one_story(browser: Browser, site: ReportSite) -> None:
    show(browser, site, view="queues")
    link = "#figures tbody tr:first-child [data-column=abandoned] a"
    (expected,) = texts(browser, link)
    browser.run(f"document.querySelector('{link}').click()")
    shown(browser, "#contacts")
    assert texts(browser, "h2") == ["Abandoned · Sales · Saturday 21 November 2026"]
    assert set(texts(browser, "#contacts tbody td:nth-child(3)")) == {"Sales"}
    assert set(texts(browser, "#contacts tbody td:nth-child(5)")) == {"Abandoned in the queue"}
    assert len(texts(browser, "#contacts tbody tr")) == int(expected) > 0
    browser.run("history.back()")
    shown(browser, "#figures")
    go(browser, "#figures [data-key='10']", view="day")
    browser.run("document.querySelector('#figures [data-key=\"10\"] [data-column=answered] a').click()")
    shown(browser, "#contacts")
    assert texts(browser, "h2") == ["Answered · Saturday 21 November 2026 · 10:00 – 11:00"]
    browser.run("document.querySelector(`#contacts [data-contact=${arguments[0]}] a`).click()", STORY)
    shown(browser, "#offers")
    assert texts(browser, "h2") == ["Contact · Saturday 21 November 2026 10:12:00"]


def test_a_story_says_to_whom_it_was_offered_and_why_that_failed(browser: Browser, site: ReportSite) -> None:
    show(browser, site, "#offers", view="contact", id=STORY)
    offers = browser.run(
        "return [...document.querySelectorAll('#offers tbody tr')].map(r => [...r.cells].map(c => c.innerText.trim()))"
    )
    assert [row[1:5] for row in offers] == [
        ["Reza Karimi", "Sales", "0:15", "No answer"],
        ["Sara Ahmadi", "Sales", "0:04", "Accepted"],
    ]
    assert offers[0][5] == "did not answer NO_ANSWER"
    steps = texts(browser, ".steps:not(#told) li")
    assert "Reza Karimi did not answer" in steps[2]
    times = texts(browser, ".steps:not(#told) li > .when:first-child")
    assert times == sorted(times)
    assert "+989121234567" in texts(browser, ".story-facts")[0]


def test_a_contact_that_there_is_not_is_said_so(browser: Browser, site: ReportSite) -> None:
    browser.open(site.url(view="contact", id="nobody"))
    browser.until("return document.querySelector('.notice[role=alert]') !== null")
    assert "nobody" in texts(browser, ".notice")[0]


def test_what_is_shown_is_saved_as_a_file(browser: Browser, site: ReportSite, tmp_path: Path) -> None:
    show(browser, site, lang="fa")
    browser.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    hours = len(texts(browser, "#figures tbody tr"))
    browser.run("document.getElementById('csv').click(); document.getElementById('xlsx').click()")
    saved = wait_for_files(tmp_path, {".csv", ".xlsx"})
    lines = saved[".csv"].read_text("utf-8-sig").splitlines()
    assert len(lines) == 1 + hours + 1  # names, hours, what they make together
    assert "سطح خدمت" in lines[0]
    assert saved[".xlsx"].read_bytes().startswith(b"PK")
    assert browser.errors() == []


def wait_for_files(folder: Path, endings: set[str]) -> dict[str, Path]:
    """The downloads, once the browser has given them their names."""
    deadline = time.monotonic() + 60
    while True:
        found = {path.suffix: path for path in folder.iterdir()}
        if endings <= set(found) and ".crdownload" not in found:
            return found
        assert time.monotonic() < deadline, f"expected {endings}, found {sorted(found)}"
        time.sleep(0.05)


def test_queues_are_sorted_by_a_button_in_the_head(browser: Browser, site: ReportSite) -> None:
    show(browser, site, view="queues")
    assert texts(browser, "#figures tbody th") == ["Sales", "Support", "Billing"]
    button = "document.querySelector('#figures thead th:nth-child(3) button')"
    browser.run(f"{button}.focus()")
    browser.press(ENTER)
    browser.until("return document.querySelector('#figures thead th:nth-child(3)').ariaSort === 'descending'")
    browser.press(ENTER)
    browser.until("return document.querySelector('#figures tbody th').innerText === 'Billing'")
    assert (
        browser.run("return document.querySelector('#figures thead th:nth-child(3)').ariaSort") == "ascending"
    )


def test_while_an_answer_is_awaited_the_old_one_stays_and_is_marked(
    browser: Browser, site: ReportSite
) -> None:
    show(browser, site, view="queues")
    browser.run(
        "const real = window.fetch;"
        " window.fetch = async (...asked) => {"
        "   await new Promise((go) => { window.release = go; });"
        "   const body = await (await real(...asked)).json();"
        "   return new Response(JSON.stringify({...body, row_count: 2000}));"
        " };"
        " document.getElementById('before').click()"
    )
    browser.until("return window.release && document.querySelector('.busy').textContent !== ''")
    assert browser.run("return document.querySelector('.report').ariaBusy") == "true"
    assert "Saturday 21 November 2026" in texts(browser, "h2")[0]  # what is shown is still of that day
    browser.run("window.release()")
    browser.until("return document.querySelector('h2').innerText.includes('Friday 20 November 2026')")
    shown(browser, "#figures")
    assert browser.run("return document.querySelector('.report').ariaBusy") == "false"
    # And an answer that has more rows than it was asked for says so.
    assert texts(browser, "#first") == [
        "The first \u20683\u2069 of \u20682,000\u2069 rows; the file has them all."
    ]


def test_nothing_there_is_said_so(browser: Browser, site: ReportSite) -> None:
    show(browser, site, ".report .notice", day="2025-01-01")
    assert texts(browser, ".notice") == ["There were no contacts in this period."]


def test_a_server_that_fails_is_named_and_asked_again(browser: Browser, site: ReportSite) -> None:
    site.broken = True
    try:
        browser.open(site.url(view="week", day=ON))
        browser.until("return document.querySelector('.notice[role=alert]') !== null")
        assert "out of order for this test" in texts(browser, ".notice")[0]
    finally:
        site.broken = False
    browser.run("document.querySelector('.notice button').click()")
    shown(browser, "#figures")


def test_on_paper_there_are_the_table_and_the_chart_but_no_controls(
    browser: Browser, site: ReportSite
) -> None:
    show(browser, site, theme="dark")
    browser.cdp("Emulation.setEmulatedMedia", media="print")
    try:
        visible = "return arguments[0].map(s => [...document.querySelectorAll(s)].some(e => e.checkVisibility() && e.getClientRects().length))"
        assert browser.run(visible, ["#figures", "canvas", "h2"]) == [True, True, True]
        assert browser.run(visible, [".toolbar", "nav", ".controls"]) == [False, False, False]
        paper = browser.run(
            "const c = getComputedStyle(document.querySelector('#figures tbody td'));"
            " return [getComputedStyle(document.body).backgroundColor, c.color]"
        )
        assert paper[0] == "rgb(255, 255, 255)"
        assert all(int(part) < 100 for part in paper[1].removeprefix("rgb(").removesuffix(")").split(","))
        browser.size(1032, 700)  # A4 across, without its margins
        go(browser, "#figures [data-key=sara] .change", view="agents", span="week", compare="previous")
        assert browser.run("return document.documentElement.scrollWidth") <= 1032
    finally:
        browser.cdp("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize(("width", "language"), [(1000, "en"), (390, "fa"), (320, "en")])
def test_nothing_is_wider_than_the_window(
    browser: Browser, site: ReportSite, width: int, language: str
) -> None:
    browser.size(width, 900)
    show(browser, site, lang=language, compare="previous")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    go(browser, "#figures", view="queues")
    assert browser.run("return document.documentElement.scrollWidth") <= width


REPORTS: dict[str, dict[str, str]] = {
    "day": {"view": "day", "compare": "previous"},
    "week": {"view": "week"},
    "queues": {"view": "queues", "counts": "all"},
    "agents": {"view": "agents"},
    "an agent": {"view": "week", "agent": "sara"},
    "nothing": {"view": "day", "day": "2025-01-01", "agent": ""},
}
OF_NINE = f"from={ON}T09:00:00%2B03:30&to={ON}T10:00:00%2B03:30"
LOOKS = [("en", "light"), ("fa", "dark")]


@pytest.mark.timeout(
    600
)  # axe weighs every colour of large tables: a minute on a machine with much else to do
@pytest.mark.parametrize(("language", "theme"), LOOKS)
@pytest.mark.parametrize("names", [("day", "week", "queues"), ("agents", "an agent", "nothing")])
def test_axe_finds_no_violation_in_reports(
    browser: Browser, site: ReportSite, language: str, theme: str, names: tuple[str, ...]
) -> None:
    """Every page in both languages and both themes; those with most on them in all four combinations."""
    show(browser, site, lang=language, theme=theme)
    found = {}
    for name in names:
        go(browser, ".report", **REPORTS[name])
        found[name] = violations(browser)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("language", "theme"), [*LOOKS, ("en", "dark"), ("fa", "light")])
def test_axe_finds_no_violation_around_reports(
    browser: Browser, site: ReportSite, language: str, theme: str
) -> None:
    show(browser, site, lang=language, theme=theme, queue="billing", compare="previous")
    browser.run("document.getElementById('pick-day').click()")
    browser.until("return document.querySelector('[role=dialog]') !== null")
    found = {"a day, and the days of a month": violations(browser)}
    if (language, theme) in LOOKS:
        go(browser, "#contacts", view="contacts", list=OF_NINE)
        found["contacts"] = violations(browser)
    go(browser, "#offers", view="contact", id=STORY)
    found["a contact"] = violations(browser)
    browser.run("document.getElementById('sign-out').click()")
    browser.until("return document.getElementById('token') !== null")
    found["signing in"] = violations(browser)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
