"""JetStream's requests, spoken directly: one attempt each, with an outcome that is stored, not stored, or unknown.

nats-py's own layer is not used for them: its publish gives up at the first no-responders of an election, its ordered
consumers are blind for 19 s after a node's death, and its key-value watch dies with the second form of acknowledgements.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec

from services.common.bus import Appended, Envelope, Progress
from services.common.bus.base import Nobody, Unconfirmed, Unstored
from services.common.bus.connection import Connection
from services.common.bus.headers import EXPECTED_SEQ, from_headers, parse_block, rfc3339, to_headers
from services.common.bus.streams import stream_of
from services.common.errors import ContractError, WrongSequence

_S = 1_000_000_000  # nanoseconds, the unit of durations in JetStream's requests
_WRONG_LAST_SEQUENCE = (10071, 10164)
_NO_MESSAGE = 10037
_CONSUMER_NOT_FOUND = 10014
_TOO_LARGE = (10054, 10097)  # the message, its headers

ACK = b"+ACK"
IN_PROGRESS = b"+WPI"


class _Error(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _PubAck(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: _Error | None = None


class _Stored(msgspec.Struct):
    subject: str
    seq: int
    hdrs: str = ""
    data: str = ""


class _MsgGet(msgspec.Struct):
    message: _Stored | None = None
    error: _Error | None = None


_pub_ack = msgspec.json.Decoder(_PubAck)
_msg_get = msgspec.json.Decoder(_MsgGet)


class ApiError(Exception):
    """JetStream answered with an error that repetition does not cure."""

    def __init__(self, request: str, error: _Error) -> None:
        super().__init__(f"{request}: {error.description} (code {error.code}, {error.err_code})")
        self.code = error.code
        self.err_code = error.err_code


class JetStream:
    """The requests that the bus makes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def put(self, envelope: Envelope, *, expected_seq: int | None, timeout_s: float) -> Appended:
        """One attempt to store. Raises Unconfirmed, Unstored, WrongSequence, ContractError (too large)."""
        headers = to_headers(envelope, stored=True)
        if expected_seq is not None:
            headers[EXPECTED_SEQ] = str(expected_seq)
        try:
            answer = await self._connection.request(envelope.subject, envelope.data, headers, timeout_s)
        except Nobody:
            raise Unstored("no stream listens: an election, or the streams are missing") from None
        try:
            ack = _pub_ack.decode(answer.data)
        except msgspec.DecodeError as e:
            raise Unconfirmed(f"an answer that is no acknowledgement: {e}") from None
        if ack.error is None:
            return Appended(ack.seq, ack.duplicate)
        if ack.error.err_code in _WRONG_LAST_SEQUENCE:
            # "wrong last sequence: 7" from the stream's leader; without the number while two appends are on their way.
            last = ack.error.description.rpartition(": ")[2]
            raise WrongSequence(
                f"{envelope.subject}: {ack.error.description}", int(last) if last.isdecimal() else 0
            )
        if ack.error.err_code in _TOO_LARGE:
            raise ContractError(f"{envelope.subject}: {ack.error.description}")
        raise Unstored(f"{ack.error.description} (code {ack.error.code}, {ack.error.err_code})")

    async def api(self, request: str, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """One request of JetStream's API. Raises Unstored or Unconfirmed when it may be repeated, ApiError otherwise."""
        try:
            answer = await self._connection.request(
                f"$JS.API.{request}", msgspec.json.encode(body), None, timeout_s
            )
        except Nobody:
            raise Unstored("JetStream does not answer: an election, or it is off") from None
        decoded: dict[str, Any] = msgspec.json.decode(answer.data)
        if error := decoded.get("error"):
            found = msgspec.convert(error, _Error)
            if (
                found.code in (503, 500) or found.err_code == 10005
            ):  # no peers yet: right after a cluster's start
                raise Unstored(found.description)
            raise ApiError(request, found)
        return decoded

    async def get(self, stream: str, wanted: dict[str, Any], timeout_s: float) -> Envelope | None:
        """One stored message, from the stream's leader: followers may lag behind an acknowledged write."""
        request = f"STREAM.MSG.GET.{stream}"
        try:
            answer = await self._connection.request(
                f"$JS.API.{request}", msgspec.json.encode(wanted), None, timeout_s
            )
        except Nobody:
            raise Unstored("JetStream does not answer: an election, or it is off") from None
        found = _msg_get.decode(answer.data)
        if found.error is not None:
            if found.error.err_code == _NO_MESSAGE:
                return None
            raise Unstored(f"{request}: {found.error.description}")
        message = found.message
        if message is None:
            return None
        return from_headers(
            parse_block(base64.b64decode(message.hdrs)),
            subject=message.subject,
            data=base64.b64decode(message.data),
            stream=stream,
            stream_seq=message.seq,
        )

    async def next_of(self, subject: str, after_seq: int, timeout_s: float) -> Envelope | None:
        """First message of a subject after a sequence."""
        return await self.get(
            stream_of(subject).name, {"seq": after_seq + 1, "next_by_subj": subject}, timeout_s
        )

    async def last_of(self, subject: str, timeout_s: float) -> Envelope | None:
        """Newest message of a subject."""
        return await self.get(stream_of(subject).name, {"last_by_subj": subject}, timeout_s)

    async def end_of(self, stream: str, timeout_s: float) -> int:
        """Last sequence of a stream."""
        try:
            info = await self.api(f"STREAM.INFO.{stream}", {}, timeout_s)
        except ApiError as e:
            raise Unstored(str(e)) from None
        return int(info["state"]["last_seq"])

    async def create_reader(
        self,
        stream: str,
        name: str,
        patterns: Sequence[str],
        *,
        after_seq: int,
        since_us: int | None,
        timeout_s: float,
    ) -> None:
        """An ephemeral consumer without acknowledgements, in memory: it is replaced when its node dies."""
        config: dict[str, Any] = {
            "name": name,
            "ack_policy": "none",
            "filter_subjects": list(patterns),
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": 30 * _S,
            "max_deliver": 1,
        }
        if after_seq:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": after_seq + 1}
        elif since_us is not None:
            config |= {"deliver_policy": "by_start_time", "opt_start_time": rfc3339(since_us)}
        else:
            config |= {"deliver_policy": "all"}
        await self._create(stream, name, config, timeout_s)

    async def create_durable(
        self,
        stream: str,
        name: str,
        patterns: Sequence[str],
        *,
        ack_wait_s: float,
        in_hand: int,
        since_us: int | None,
        timeout_s: float,
    ) -> None:
        """Make the durable consumer, or give it these patterns. Deliveries are counted by the courier, not limited here.

        A new one begins with the messages of ``since_us``; where it is already, it goes on from there.
        """
        config: dict[str, Any] = {
            "durable_name": name,
            "name": name,
            "ack_policy": "explicit",
            "deliver_policy": "all",
            "filter_subjects": list(patterns),
            "ack_wait": int(ack_wait_s * _S),
            "max_ack_pending": in_hand,
            "max_deliver": -1,
        }
        if since_us is not None:
            found = await self._consumer(stream, name, timeout_s)
            if found is None:
                config |= {"deliver_policy": "by_start_time", "opt_start_time": rfc3339(since_us)}
            else:
                # Where it began cannot be changed, and the server refuses who asks for it.
                config |= {key: found[key] for key in ("deliver_policy", "opt_start_time") if key in found}
        await self._create(stream, name, config, timeout_s)

    async def _create(self, stream: str, name: str, config: dict[str, Any], timeout_s: float) -> None:
        try:
            await self.api(
                f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": config}, timeout_s
            )
        except ApiError as e:
            raise Unstored(str(e)) from None

    async def consumer_exists(self, stream: str, name: str, timeout_s: float) -> bool:
        """Whether a consumer is there. Raises Unstored or Unconfirmed when that is not known."""
        return await self._consumer(stream, name, timeout_s) is not None

    async def progress(self, stream: str, name: str, timeout_s: float) -> Progress | None:
        """How far a consumer is; None when it is not there. Raises Unstored or Unconfirmed when that is not known."""
        consumer = await self._info(stream, name, timeout_s)
        if consumer is None:
            return None
        try:
            state = (await self.api(f"STREAM.INFO.{stream}", {}, timeout_s))["state"]
        except ApiError as e:
            raise Unstored(str(e)) from None
        return Progress(
            stream=stream,
            first_seq=int(state["first_seq"]),
            last_seq=int(state["last_seq"]),
            floor_seq=int(consumer["ack_floor"]["stream_seq"]),
            in_hand=int(consumer["num_ack_pending"]),
            waiting=int(consumer["num_pending"]),
        )

    async def _consumer(self, stream: str, name: str, timeout_s: float) -> dict[str, Any] | None:
        """The configuration of a consumer; None when it is not there."""
        found = await self._info(stream, name, timeout_s)
        return None if found is None else dict(found["config"])

    async def _info(self, stream: str, name: str, timeout_s: float) -> dict[str, Any] | None:
        try:
            return await self.api(f"CONSUMER.INFO.{stream}.{name}", {}, timeout_s)
        except ApiError as e:
            if e.err_code == _CONSUMER_NOT_FOUND:
                return None
            raise Unstored(str(e)) from None

    async def reset(self, stream: str, name: str, timeout_s: float) -> None:
        """Let a consumer deliver again what is not acknowledged. Raises Unstored or Unconfirmed."""
        try:
            await self.api(f"CONSUMER.RESET.{stream}.{name}", {}, timeout_s)
        except ApiError as e:
            raise Unstored(str(e)) from None

    async def ask_next(
        self, stream: str, name: str, reply: str, *, batch: int, expires_s: float, heartbeat_s: float
    ) -> bool:
        """Ask a consumer for messages, to be sent to ``reply``; False without a connection."""
        body = {"batch": batch, "expires": int(expires_s * _S), "idle_heartbeat": int(heartbeat_s * _S)}
        return await self._connection.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", msgspec.json.encode(body), reply=reply
        )


def nak(delay_s: float) -> bytes:
    """Acknowledgement that asks for a redelivery after a time."""
    return b"-NAK" + (msgspec.json.encode({"delay": int(delay_s * _S)}) if delay_s > 0 else b"")


def term(reason: str) -> bytes:
    """Acknowledgement that ends the deliveries of a message; the reason shows in the server's advisory."""
    return b"+TERM " + " ".join(reason.split())[:200].encode()
