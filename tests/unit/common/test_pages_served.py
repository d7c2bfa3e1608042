"""The pages' files as they are served: their policy, their caching, and nothing but their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.common.http import Readiness, make_app
from services.common.pages import build_router

FILES = {
    "app-1a2b3c4d.js": ("text/javascript", b"export {};"),
    "app-1a2b3c4d.css": ("text/css", b"body {}"),
    "favicon-1a2b3c4d.svg": ("image/svg+xml", b"<svg/>"),
    "vazirmatn-1a2b3c4d.woff2": ("font/woff2", b"wOF2"),
    "licences.txt": ("text/plain", b"MIT"),
}


def client_of(folder: Path) -> httpx.AsyncClient:
    app = make_app("reporting", "0", Readiness(), auth_secret="not-a-secret-only-for-these-tests-000")
    app.include_router(build_router({"wallboard": "The board"}, folder))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    (tmp_path / "index.html").write_text("<!doctype html><title>Peyvand</title>")
    (tmp_path / "pages").mkdir()
    for name, (_, content) in FILES.items():
        (tmp_path / "pages" / name).write_bytes(content)
    async with client_of(tmp_path) as client:
        yield client


async def test_a_page_is_a_shell_under_a_strict_policy(site: httpx.AsyncClient) -> None:
    page = await site.get("/wallboard")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-cache"  # it names the files of the newest build
    again = await site.get("/wallboard", headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("name", FILES)
async def test_a_file_has_its_type_and_is_kept_by_the_browser(site: httpx.AsyncClient, name: str) -> None:
    kind, content = FILES[name]
    file = await site.get(f"/pages/{name}")
    assert (file.status_code, file.content) == (200, content)
    assert file.headers["content-type"].startswith(kind)
    assert ("immutable" in file.headers["cache-control"]) == (name != "licences.txt")
    again = await site.get(f"/pages/{name}", headers={"If-None-Match": file.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("name", ["nothing.js", "..%2findex.html", "%2e%2e/index.html", "index.html"])
async def test_only_the_pages_own_files_are_served(site: httpx.AsyncClient, name: str) -> None:
    assert (await site.get(f"/pages/{name}")).status_code == 404


async def test_pages_that_were_not_built_say_so(tmp_path: Path) -> None:
    async with client_of(tmp_path) as client:
        page = await client.get("/wallboard")
    assert page.status_code == 503
    assert page.json()["type"] == "pages-not-built"
    assert "make pages" in page.json()["detail"]
