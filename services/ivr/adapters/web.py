"""Requests of flows to the web services that their center names: secrets and time limits put on, answers taken apart.

One request delays no call but its own: each is a task, each service has a number of requests at a time of its own, and one more waits within
its own time limit. Secrets are read from their files for each request, so a new one holds at once; they are in no log and no fact, and
neither are addresses with what they were filled with, nor answers.
"""

from __future__ import annotations

import asyncio
import functools
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonpath
import orjson
import structlog
from prometheus_client import Counter, Histogram

from services.center.model import Center
from services.center.web import SecretHeader, WebService
from services.common.errors import WebUnavailable
from services.common.webclient import Answer, Headers, Question, WebClient
from services.ivr.core import model as core

log = structlog.get_logger()

# Requests of flows by what became of them: `answered`, or the reason of the failure. Many that are not answered: the service is ill.
REQUESTS = Counter("peyvand_ivr_web_requests_total", "Requests to web services", ["outcome"])
# How long a request takes, its repetitions included: what callers wait for.
REQUEST_S = Histogram(
    "peyvand_ivr_web_request_seconds",
    "Time of a request",
    buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)

_MOST_TEXT = 200
_PAUSE_S = 0.1
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SECRET = re.compile(r"[!-~]([ -~]{0,4000}[!-~])?")
_PATHS = jsonpath.JSONPathEnvironment(strict=True)
_MAY_PASS = frozenset({429, *range(500, 600)})


class Web:
    """Web services for all calls of this process."""

    def __init__(self, client: WebClient, secrets_dir: Path | None) -> None:
        self._client = client
        self._secrets_dir = secrets_dir
        self._places: dict[tuple[str, str, int], asyncio.Semaphore] = {}

    async def ask(self, center: Center, asked: core.SendRequest) -> tuple[int, dict[str, str]]:
        """Return the status and the wanted values. Raises WebUnavailable, in time whatever the service does."""
        began_s = asyncio.get_running_loop().time()
        outcome = "broken"
        try:
            answer = await self._ask(center, asked)
            outcome = "answered" if 200 <= answer[0] <= 299 else "status"
        except WebUnavailable as e:
            outcome = e.reason
            log.warning("web_request_failed", tenant=center.tenant, service=asked.service, reason=str(e))
            raise
        else:
            return answer
        finally:
            REQUESTS.labels(outcome).inc()
            REQUEST_S.observe(asyncio.get_running_loop().time() - began_s)

    async def _ask(self, center: Center, asked: core.SendRequest) -> tuple[int, dict[str, str]]:
        service = center.web[asked.service]
        key = (center.tenant, asked.service, service.at_once)
        place = self._places.setdefault(key, asyncio.Semaphore(service.at_once))
        for left in reversed(range(asked.tries)):
            try:
                async with asyncio.timeout(asked.timeout_ms / 1000):
                    async with place:
                        answer = await self._try(center, service, asked)
                    if answer.status not in _MAY_PASS or not left:
                        return answer.status, _values(answer, asked)
            except TimeoutError:
                if not left:
                    raise WebUnavailable("timeout", f"no answer in {asked.timeout_ms} ms") from None
            except WebUnavailable as e:
                if not (e.passes and left):
                    raise
            await asyncio.sleep(_PAUSE_S)
        raise AssertionError("the last try answers or raises")

    async def _try(self, center: Center, service: WebService, asked: core.SendRequest) -> Answer:
        headers = (*self._headers(center, service), *asked.headers)
        most_bytes = service.most_kb * 1024
        question = Question(asked.method, service.url + asked.target, headers, asked.body, most_bytes)
        return await self._client.ask(question, lambda url: self._follow(center, url))

    def _follow(self, center: Center, url: str) -> Headers | None:
        """The headers of the service to which a redirect leads; None when it is none of the center's."""
        for service in center.web.values():
            if _origin(service.url) == _origin(url):
                return self._headers(center, service)
        return None

    def _headers(self, center: Center, service: WebService) -> Headers:
        return tuple(
            (name, self._secret(center, value) if isinstance(value, SecretHeader) else value)
            for name, value in service.headers.items()
        )

    def _secret(self, center: Center, header: SecretHeader) -> str:
        if self._secrets_dir is None:
            raise WebUnavailable("secret", "PEYVAND_IVR_SECRETS_DIR is not set, a header needs it")
        file = self._secrets_dir / center.tenant / header.secret
        try:
            text = file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as e:
            raise WebUnavailable("secret", f"{file}: {type(e).__name__}") from None
        if not _SECRET.fullmatch(text):
            raise WebUnavailable("secret", f"{file}: expected one line of printable ASCII")
        return header.before + text


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port; of what is no address nothing that any service has."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", "", 0
    if parts.username is not None:
        return "", "", 0
    return parts.scheme, parts.hostname or "", port or {"https": 443, "http": 80}.get(parts.scheme, 0)


@functools.lru_cache(4096)
def _compiled(path: str) -> Any:
    return _PATHS.compile(path)


def _values(answer: Answer, asked: core.SendRequest) -> dict[str, str]:
    """The wanted values that are there, of an answer that is no failure. Raises WebUnavailable for what is no JSON."""
    if not asked.wanted or not 200 <= answer.status <= 299:
        return {}
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError as e:
        raise WebUnavailable("not_json", f"{len(answer.body)} bytes: {e.msg}") from None
    values: dict[str, str] = {}
    for variable, path in asked.wanted:
        try:
            found = _compiled(path).findall(document)
        except (jsonpath.JSONPathError, TypeError):
            continue  # A path into something that is no object and no list.
        text = as_text(found[0]) if found else None
        if text is not None:
            values[variable] = text
    return values


def as_text(value: Any) -> str | None:
    """A value of an answer as a variable has it; None for what is neither a text, a number, nor true or false."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            text = repr(value)
            return None if "e" in text or "n" in text else text.removesuffix(".0")
        case str():
            return _CONTROL.sub(" ", value).strip()[:_MOST_TEXT]
    return None
