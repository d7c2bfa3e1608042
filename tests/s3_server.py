"""As much of an S3 server as putting objects needs: it checks AWS's signature (version 4) as Amazon documents it, and says its errors in XML.

Nothing of a client's library is used, so what passes here was signed rightly.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.sax.saxutils import escape

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/s3/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Object:
    """An object as it was put last."""

    content: bytes
    headers: dict[str, str]


class S3Server:
    """Listens on a free port of loopback until ``stop``. ``objects`` by bucket and key."""

    def __init__(
        self,
        *buckets: str,
        key: str = "AKPEYVAND",
        secret: str = "a secret key",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.key, self.secret = key, secret
        self.region = "us-east-1"
        self.objects: dict[str, dict[str, Object]] = {bucket: {} for bucket in buckets}
        self.puts: list[str] = []
        """Bucket/key of every request that was signed rightly."""
        self.asked: list[str] = []
        """Method and path of every request."""
        self.refuses: tuple[int, str, str] | None = None
        """Status, code and message of what it says to everything."""
        self.lets_go = threading.Event()
        self.lets_go.set()
        """Cleared: it hears and does not answer."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                server._put(self)

            def do_HEAD(self) -> None:
                server.asked.append(f"HEAD {self.path}")
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.lets_go.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _put(self, request: BaseHTTPRequestHandler) -> None:
        content = request.rfile.read(int(request.headers.get("Content-Length", "0")))
        self.asked.append(f"PUT {request.path}")
        self.lets_go.wait()
        path = urlsplit(request.path).path
        bucket, _, name = unquote(path).lstrip("/").partition("/")
        refusal = self.refuses or self._refusal(request, content)
        if refusal is None:
            self.puts.append(f"{bucket}/{name}")
            if bucket not in self.objects:
                refusal = (404, "NoSuchBucket", "The specified bucket does not exist")
        if refusal is not None:
            status, code, message = refusal
            body = f"<?xml version='1.0'?><Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
            self._answer(request, status, body.encode())
            return
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.objects[bucket][name] = Object(content, headers)
        self._answer(request, 200, b"", ETag=f'"{hashlib.md5(content).hexdigest()}"')

    def _answer(self, request: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
        try:
            request.send_response(status)
            for name, value in headers.items():
                request.send_header(name, value)
            request.send_header("Content-Type", "application/xml")
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)
        except OSError:  # who asked has gone, as after a server that did not answer
            request.close_connection = True

    def _refusal(self, request: BaseHTTPRequestHandler, content: bytes) -> tuple[int, str, str] | None:
        """What is wrong with the signature; docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html."""
        found = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if found is None:
            return 403, "AccessDenied", "Access Denied"
        if found["key"] != self.key:
            return (
                403,
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            )
        if found["region"] != self.region:
            said = f"The authorization header is malformed; the region '{found['region']}' is wrong; expecting '{self.region}'"
            return 400, "AuthorizationHeaderMalformed", said
        digest = request.headers["X-Amz-Content-SHA256"]
        if digest != hashlib.sha256(content).hexdigest():
            return 400, "XAmzContentSHA256Mismatch", "The provided header does not match what was computed."
        names = found["headers"].split(";")
        at = request.headers["X-Amz-Date"]
        lines = [f"{name}:{' '.join(request.headers[name].split())}\n" for name in names]
        path = quote(unquote(urlsplit(request.path).path), safe="/-_.~")
        canonical = f"{request.command}\n{path}\n\n{''.join(lines)}\n{found['headers']}\n{digest}"
        scope = f"{found['day']}/{found['region']}/s3/aws4_request"
        signed = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        right = hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right, found["signature"]):
            said = "The request signature we calculated does not match the signature you provided."
            return 403, "SignatureDoesNotMatch", said
        return None
