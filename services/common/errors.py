"""One tree of errors. A message says what was expected, what was found, and which setting, file or call to look at.

PeyvandError
  + ConfigError             a setting or file is wrong; the process must not start with it
  + NotReady                something this call needs is not there yet; try again
    - BusUnavailable        NATS did not answer in time
    - StoreUnavailable      ClickHouse did not answer in time
    - SwitchUnavailable     no connection to that FreeSWITCH node
      · SwitchTimeout       connected, but no answer in time: the outcome is unknown
    - WebUnavailable        a web service of somebody else's gave no answer that is of use
  + ContractError           a message or event does not have the form that was agreed
    - ProtocolError         the event socket's bytes make no frame
    - UnsafeCommandError    text that must not reach FreeSWITCH
    - DecodeError           a bus message that is unknown, broken or incomplete
      · NewerMessage        of a type that this program does not know, but a newer one of ours may
  + Conflict                somebody else was first; read again and decide anew
    - WrongSequence         the log has an entry that the writer has not seen
    - Fenced                a newer owner holds the shard; stop writing for it
  + CallGone                the call ended while it was being worked on
  + Refused                 a person's or service's wish that cannot be granted, with a slug and a reason
"""

from __future__ import annotations


class PeyvandError(Exception):
    """Root of all errors that this project raises on purpose."""


class ConfigError(PeyvandError):
    """A setting or a configuration file is wrong; the text names it and says what was expected."""


class NotReady(PeyvandError):
    """Something that is needed is not reachable now; the same call may succeed later."""


class BusUnavailable(NotReady):
    """NATS did not confirm in time."""


class StoreUnavailable(NotReady):
    """ClickHouse did not confirm in time."""


class SwitchUnavailable(NotReady):
    """There is no connection to the FreeSWITCH node."""


class SwitchTimeout(SwitchUnavailable):
    """FreeSWITCH did not answer in time: whether the command ran is unknown."""


class WebUnavailable(NotReady):
    """A web service did not answer, or what it answered is of no use.

    ``reason`` is a word for reports; ``passes``: the same question may be answered a moment later.
    """

    def __init__(self, reason: str, text: str, *, passes: bool = False) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.passes = passes


class ContractError(PeyvandError):
    """Data does not have the agreed form."""


class ProtocolError(ContractError):
    """Bytes of the event socket that make no frame."""


class UnsafeCommandError(ContractError):
    """Text that would change its meaning, or reload the module, when sent to FreeSWITCH."""


class DecodeError(ContractError):
    """A bus message of unknown type, with broken bytes, or without a required field."""


class NewerMessage(DecodeError):
    """A bus message whose type has a name of ours that this program does not know: its sender is newer."""


class Conflict(PeyvandError):
    """Somebody else wrote first."""


class WrongSequence(Conflict):
    """A log append expected another last sequence than the stream has.

    ``last_seq`` is the one that it has, as far as whoever refused said so; 0 otherwise.
    """

    def __init__(self, text: str, last_seq: int = 0) -> None:
        super().__init__(text)
        self.last_seq = last_seq


class Fenced(Conflict):
    """A newer owner has taken the shard: this one must stop writing."""


class CallGone(PeyvandError):
    """The call ended, or its socket closed, while an answer was awaited."""


class Refused(PeyvandError):
    """A wish that cannot be granted now.

    ``slug`` is stable and part of the API (for example ``unknown-agent``); ``reason`` is for people;
    ``status`` is the HTTP status it maps to.
    """

    def __init__(self, slug: str, reason: str, *, status: int = 409) -> None:
        super().__init__(f"{slug}: {reason}")
        self.slug = slug
        self.reason = reason
        self.status = status
