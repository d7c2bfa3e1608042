"""Reports as objects in a bucket, of Amazon's S3 or of any server that speaks it.

The bucket, the server and the credentials are the installation's. A tenant chooses the end of a prefix, below one of its own:
``<prefix>/<tenant>/<what the target says>/<file>``. The same report has the same name, so sending it again replaces it.

One request a report and no attempts behind the ledger's back: it writes down each one and knows when the next is due (adr/0056).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlsplit

import msgspec

from services.common.errors import ConfigError
from services.reporting.adapters.deliverers import DeliveryFailed, Parcel, trusting

_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 30.0
_MOST_SAID: Final = 500
"""Characters of an error that are kept: what answers may be no S3 at all, but a page of a proxy."""


class Bucket(msgspec.Struct, frozen=True):
    """Where objects are put, and as whom. Without ``access_key`` as whoever the machine says that we are."""

    name: str
    prefix: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    addressing: Literal["auto", "path", "host"] = "auto"
    access_key: str = ""
    secret_key: str = ""
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        """Raises ConfigError that begins with the setting (``ENDPOINT``, …) and never holds a credential."""
        if bool(self.access_key) != bool(self.secret_key):
            missing = "SECRET_KEY" if self.access_key else "ACCESS_KEY"
            raise ConfigError(f"{missing}: is missing; expected both keys, or neither")
        if self.endpoint and not _is_server(self.endpoint):
            raise ConfigError("ENDPOINT: expected http://host:port or https://host:port, and nothing else")
        if self.ca_file is not None:
            try:
                trusting(self.ca_file)
            except ConfigError as e:
                raise ConfigError(f"CA: {e}") from None

    def __repr__(self) -> str:
        return f"Bucket({self.name} at {self.server})"

    @property
    def server(self) -> str:
        """What people call it."""
        return self.endpoint or f"Amazon S3 in {self.region}"

    @property
    def style(self) -> Literal["path", "virtual"]:
        """Servers of one's own mostly have one host name and no certificate for a name for each bucket."""
        if self.addressing == "auto":
            return "path" if self.endpoint else "virtual"
        return "path" if self.addressing == "path" else "virtual"


class _Client(Protocol):
    """As much of botocore's client as is used."""

    def put_object(self, **said: Any) -> object: ...


class S3Deliverer:
    """Puts objects, in a thread: a report takes seconds and there are few of them."""

    def __init__(self, bucket: Bucket, *, connect_s: float = _CONNECT_S, answer_s: float = _ANSWER_S) -> None:
        """``answer_s``: of silence, after which an attempt has failed. Raises ConfigError for what botocore does not take."""
        self._bucket = bucket
        self._client = _client(bucket, connect_s, answer_s)

    def key(self, where: str, parcel: Parcel) -> str:
        """The object's name."""
        return "/".join(
            part for part in (self._bucket.prefix, parcel.tenant, where, parcel.file_name) if part
        )

    async def deliver(self, where: str, parcel: Parcel) -> None:
        key = self.key(where, parcel)
        error = await asyncio.to_thread(self._put, key, parcel)
        if error:
            raise DeliveryFailed(
                f"{key} was not put into bucket {self._bucket.name} at {self._bucket.server}: {error}"
            )

    def _put(self, key: str, parcel: Parcel) -> str:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.put_object(
                Bucket=self._bucket.name,
                Key=key,
                Body=parcel.content,
                ContentType=parcel.media_type,
                ContentDisposition=f'attachment; filename="{parcel.file_name}"',
                Metadata=dict(parcel.labels),
            )
        except ClientError as e:
            status = e.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
            told = e.response.get("Error", {})
            return _line(f"{status} {told.get('Code', '')}: {told.get('Message', '')}")
        except BotoCoreError as e:
            return _line(str(e))
        return ""


def _client(bucket: Bucket, connect_s: float, answer_s: float) -> _Client:
    # As late as this: a process that puts nothing does not read the library (30 MB, a quarter of a second).
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    config = Config(
        connect_timeout=connect_s,
        read_timeout=answer_s,
        retries={"total_max_attempts": 1, "mode": "standard"},
        s3={"addressing_style": bucket.style},
        # Since botocore 1.36 each object would bear a CRC that older servers of others refuse (boto/boto3#4392);
        # the signature is over a SHA-256 of the content anyway.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        ignore_configured_endpoint_urls=True,
    )
    try:
        client: _Client = Session().create_client(
            "s3",
            region_name=bucket.region,
            endpoint_url=bucket.endpoint or None,
            aws_access_key_id=bucket.access_key or None,
            aws_secret_access_key=bucket.secret_key or None,
            verify=None if bucket.ca_file is None else str(bucket.ca_file),
            config=config,
        )
    except (BotoCoreError, ValueError) as e:
        raise ConfigError(f"BUCKET: {_line(str(e))}") from None
    return client


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port_is_right = parts.port != 0
    except ValueError:
        return False
    alone = not (parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/"))
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port_is_right and alone


def _line(text: str) -> str:
    return " ".join(text.split())[:_MOST_SAID]
