"""The pages that people open (``services/web``), as built files, under a policy that lets nothing else in.

They are shells without data, for everybody: the data are behind tokens. Every page is the same ``index.html``, which looks
at its own address; what it loads stands under ``/pages/`` with a hash of its content in its name.
"""

from __future__ import annotations

import hashlib
import mimetypes
from importlib import resources
from importlib.abc import Traversable
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from services.common.errors import Refused

_HEADERS: Final = {
    # 'self' for everything: no inline script or style, no other host, not even pictures in data: addresses.
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_ASK_AGAIN: Final = "no-cache"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_MEDIA_TYPES: Final = {".js": "text/javascript", ".woff2": "font/woff2", ".svg": "image/svg+xml"}


class _File:
    """Read once: names come from the folder, never from a request."""

    def __init__(self, name: str, content: bytes, cache: str) -> None:
        suffix = name[name.rfind(".") :]
        self._content = content
        self._media_type = _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain"
        self._etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        self._cache = cache

    def response(self, request: Request) -> Response:
        headers = {**_HEADERS, "ETag": self._etag, "Cache-Control": self._cache}
        if request.headers.get("if-none-match") == self._etag:
            return Response(status_code=304, headers=headers)
        return Response(self._content, media_type=self._media_type, headers=headers)


def built() -> Traversable:
    """Where `make pages` puts them, and where the package has them."""
    return resources.files("services") / "web" / "dist"


def build_router(names: dict[str, str], folder: Traversable | None = None) -> APIRouter:
    """Routes for these pages (name, as in ``/wallboard``, and summary) and for their files.

    Without built pages the process serves its other routes, and these say (503) what is missing.
    """
    folder = built() if folder is None else folder
    router = APIRouter(tags=["pages"])
    index = folder / "index.html"
    shell = _File("index.html", index.read_bytes(), _ASK_AGAIN) if index.is_file() else None
    files = {
        # The licences alone have a name without a hash.
        f.name: _File(f.name, f.read_bytes(), _ASK_AGAIN if f.name == "licences.txt" else _FOR_EVER)
        for f in ((folder / "pages").iterdir() if shell is not None else ())
        if f.is_file()
    }

    async def page(request: Request) -> Response:
        if shell is None:
            raise Refused("pages-not-built", "the pages are not built: `make pages`", status=503)
        return shell.response(request)

    for name, summary in names.items():
        router.add_api_route(
            f"/{name}", page, summary=summary, response_class=Response, operation_id=f"page_{name}"
        )

    @router.get("/pages/{name}", include_in_schema=False)
    async def file(name: str, request: Request) -> Response:
        if name not in files:
            raise Refused("not-found", f"the pages have no file {name!r}", status=404)
        return files[name].response(request)

    return router
