"""The HTTP form of every service: health, metrics, OpenAPI, bearer tokens, errors as problem+json (RFC 9457)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from services.common.auth import Principal, check
from services.common.errors import NotReady, Refused
from services.common.metrics import TASKS

log = structlog.get_logger()

_bearer = HTTPBearer(auto_error=False, description="python -m services.common.auth token …")
_PROBLEM = "application/problem+json"
# Everything of ours is under it, and nothing under it is for strangers.
_GUARDED = "/v1/"
_TOKEN_MISSING = "this route wants an Authorization: Bearer header"  # noqa: S105 - a message
_PEERS_LOGGED = 256

# Requests without a valid token, or with one whose role may not. A burst: somebody tries doors; the log names the peer.
DENIED = Counter("peyvand_http_denied_total", "Requests that were not allowed", ["slug"])


def problem(slug: str, detail: str, status: int, **more: Any) -> JSONResponse:
    """An error answer; ``slug`` is stable, ``detail`` is for people."""
    body = {"type": slug, "title": slug.replace("-", " "), "status": status, "detail": detail, **more}
    return JSONResponse(body, status_code=status, media_type=_PROBLEM)


class Readiness:
    """What must be there before this process can do its work; ``/readyz`` says which part is missing."""

    def __init__(self) -> None:
        self._parts: dict[str, tuple[bool, str]] = {}

    def set(self, part: str, ok: bool, detail: str = "") -> None:
        """Record the state of one part; a change is logged once."""
        before = self._parts.get(part)
        self._parts[part] = (ok, detail)
        if before is None or before[0] != ok:
            (log.info if ok else log.warning)("readiness_changed", part=part, ok=ok, detail=detail)

    def drop(self, part: str) -> None:
        """Forget a part that is no longer this process's business (a shard handed over)."""
        self._parts.pop(part, None)

    @property
    def ok(self) -> bool:
        return bool(self._parts) and all(ok for ok, _ in self._parts.values())

    def report(self) -> dict[str, Any]:
        return {
            "ready": self.ok,
            "parts": {
                name: {"ok": ok, "detail": detail} for name, (ok, detail) in sorted(self._parts.items())
            },
        }


def require(*roles: str) -> Callable[..., Principal]:
    """A FastAPI dependency that lets the given roles pass and returns who asks. ``admin`` always passes."""

    def dependency(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Principal:
        if credentials is None:
            raise Refused("token-missing", _TOKEN_MISSING, status=401)
        principal = check(request.app.state.auth_secret, credentials.credentials)
        if principal.role != "admin" and principal.role not in roles:
            raise Refused(
                "role-not-allowed",
                f"role {principal.role!r} may not do this; expected one of {', '.join((*roles, 'admin'))}",
                status=403,
            )
        return principal

    return dependency


class Denials:
    """Counts what was not allowed, and logs it once for each peer and reason."""

    def __init__(self) -> None:
        self._logged: set[tuple[str, str]] = set()

    def note(self, e: Refused, scope: Scope) -> None:
        """Take note of one refusal."""
        DENIED.labels(e.slug).inc()
        peer = (scope.get("client") or ("",))[0]
        if (peer, e.slug) not in self._logged and len(self._logged) < _PEERS_LOGGED:
            self._logged.add((peer, e.slug))
            log.warning("request_denied", slug=e.slug, peer=peer, path=scope["path"], reason=e.reason)


def _refused(e: Refused) -> JSONResponse:
    answer = problem(e.slug, e.reason, e.status)
    if e.status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


class _Door:
    """Without a valid token nobody gets as far as a route: not to a body that is read first, nor to a route that forgot to ask."""

    def __init__(self, app: ASGIApp, auth_secret: str, denials: Denials) -> None:
        self._app = app
        self._auth_secret = auth_secret
        self._denials = denials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_GUARDED):
            scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
            try:
                if scheme.lower() != "bearer" or not token:
                    raise Refused("token-missing", _TOKEN_MISSING, status=401)
                check(self._auth_secret, token.strip())
            except Refused as e:
                self._denials.note(e, scope)
                await _refused(e)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def make_app(name: str, version: str, readiness: Readiness, *, auth_secret: str) -> FastAPI:
    """The FastAPI application that a service adds its routers to."""
    # FastAPI's own documentation page takes its scripts from another host: blank in a closed network, and not ours.
    app = FastAPIOffline(
        title=f"Peyvand {name}", version=version, docs_url="/docs", redoc_url=None, static_url="/docs-assets"
    )
    app.state.auth_secret = auth_secret
    app.state.readiness = readiness
    denials = Denials()
    app.add_middleware(_Door, auth_secret=auth_secret, denials=denials)

    @app.get("/healthz", tags=["process"], summary="The process runs")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(
        "/readyz", tags=["process"], summary="Which parts this process needs, and which of them are there"
    )
    async def readyz() -> Response:
        return JSONResponse(readiness.report(), status_code=200 if readiness.ok else 503)

    @app.get("/metrics", tags=["process"], summary="Prometheus metrics")
    async def metrics() -> Response:
        TASKS.set(len(asyncio.all_tasks()))
        return PlainTextResponse(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(Refused)
    async def refused(request: Request, e: Refused) -> Response:
        if e.status in (401, 403):
            denials.note(e, request.scope)
        return _refused(e)

    @app.exception_handler(NotReady)
    async def not_ready(_: Request, e: NotReady) -> Response:
        return problem("not-ready", str(e), 503)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, e: RequestValidationError) -> Response:
        errors = [
            {"field": ".".join(str(p) for p in err["loc"]), "message": err["msg"]} for err in e.errors()
        ]
        return problem(
            "request-invalid", "; ".join(f"{x['field']}: {x['message']}" for x in errors), 422, errors=errors
        )

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, e: HTTPException) -> Response:
        return problem("not-found" if e.status_code == 404 else "http-error", str(e.detail), e.status_code)

    return app
