"""axe-core in the page under test: what it finds against WCAG 2.2 A and AA and its own best practices."""

from __future__ import annotations

from pathlib import Path

from services.common.pages import built
from tests.e2e.browser import Browser

AXE = Path(str(built())).parent / "node_modules" / "axe-core" / "axe.min.js"
_RUN = """
  const done = arguments[arguments.length - 1];
  axe.run({resultTypes: ['violations']}).then(
    (found) => done(found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.target).join(', ')}`)),
    (error) => done([String(error)]),
  );
"""


def violations(browser: Browser) -> list[str]:
    """What is wrong with the page as it stands, a line each."""
    if not browser.run("return typeof axe === 'object'"):
        browser.run(f"{AXE.read_text('utf-8')}; window.axe = axe;")
    found: list[str] = browser.run_async(_RUN)
    return found
