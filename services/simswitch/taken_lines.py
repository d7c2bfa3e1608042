"""A node that goes on with the SIP dialog of another one's call: an originate with the dialog's Call-ID and tags is a re-INVITE in it.

Measured on 1.10.12 with a third FreeSWITCH as the carrier (the variables are those of ``sofia recover``, sofia_glue.c): accepted in 25 ms, and from
then on requests and sound are the new node's; the former leg notices nothing, hears nothing, and its BYE is refused (500), for its CSeq is the
lower one. A dialog that the carrier does not know is refused with 481, which is NORMAL_TEMPORARY_FAILURE here, and nothing has changed.
Without a CSeq that is higher than that of the BYE to come the former leg's BYE is a BYE like any other: the call is over. So it was with two
moves within a second that had the same number: the second was accepted, and then the node in between hung up.
"""

from __future__ import annotations

from typing import Final

from services.simswitch.channel import Channel
from services.simswitch.dial_string import Destination
from services.simswitch.party import Party
from services.simswitch.ports import Phone
from services.simswitch.switch import Switch

CALL_ID: Final = "sip_invite_call_id"
_FIRST_CSEQ_MAX: Final = 2**27
"""sofia-sip begins below it (nta.c)."""
_UNKNOWN: Final = 481
_OUT_OF_ORDER: Final = 500


def dialog_at(switch: Switch, to: Destination) -> Phone:
    """What a re-INVITE meets: the carrier, which has such a call with one of the nodes, or has none."""
    return _Dialog(switch, to)


class _Dialog:
    def __init__(self, switch: Switch, to: Destination) -> None:
        self._nodes = (switch, *(node for node in switch.carrier.values() if node is not switch))
        self._profile, self._target = to.place, f"{to.number}@{to.host}"
        self._variables = {name: str(value) for name, value in to.variables.items() if isinstance(value, str)}

    def invite(self, leg: Channel) -> None:
        former = self._former(leg)
        if former is None or former.party is None:
            leg.refuse(_UNKNOWN)
            return
        cseq = _number(self._variables.get("sip_invite_cseq", ""))
        if cseq < former.cseq or not former.party.on_taken_over(former):
            leg.refuse(_OUT_OF_ORDER)
            return
        leg.cseq, bye = cseq, former.cseq + 1 if former.cseq else _FIRST_CSEQ_MAX
        leg.party, former.party = former.party, _Deaf(leg if cseq <= bye else None)
        leg.variables |= self._dialog()
        leg.switch.observer.leg_moved(former, leg)
        leg.party.on_moved(former, leg)
        leg.mark_answered()

    def _dialog(self) -> dict[str, str]:
        """What stands on the leg afterwards: it is the dialog's, so the line can be taken over once more."""
        said: dict[str, str] = {}
        for end in ("from", "to"):
            address, _, tag = self._variables.get(f"sip_handle_full_{end}", "").partition(">;tag=")
            said |= {f"sip_{end}_uri": address.removeprefix("<sip:"), f"sip_{end}_tag": tag}
        return {
            **said,
            "sip_call_id": self._variables[CALL_ID],
            "sofia_profile_name": self._profile,
            "sip_contact_uri": self._target,
        }

    def _former(self, leg: Channel) -> Channel | None:
        """The leg whose dialog it is: the Call-ID alone is not enough, the tags have to be those of the two ends."""
        for node in self._nodes:
            for found in node.channels.values():
                ours, theirs = ("to", "from") if found.direction == "inbound" else ("from", "to")
                if (
                    found is not leg
                    and found.answered
                    and not found.down
                    and found.var("sip_call_id") == self._variables.get(CALL_ID)
                    and _tag(self._variables.get("sip_handle_full_from", "")) == found.var(f"sip_{ours}_tag")
                    and _tag(self._variables.get("sip_handle_full_to", "")) == found.var(f"sip_{theirs}_tag")
                    and not isinstance(found.party, _Deaf)
                ):
                    return found
        return None


class _Deaf(Party):
    """What is at the end of a leg whose dialog is another's: nobody. ``ends`` is the leg that a BYE of this one would end."""

    def __init__(self, ends: Channel | None) -> None:
        self._ends = ends

    def on_ended(self, leg: Channel) -> None:
        if self._ends is not None:
            self._ends.end("NORMAL_CLEARING", by="caller")


def _tag(header: str) -> str:
    return header.rpartition(";tag=")[2]


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
