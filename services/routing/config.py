"""Settings of routing: environment variables with the prefix ``PEYVAND_``."""

from __future__ import annotations

from pydantic import Field

from services.common.config import CenterSettings
from services.common.parts import SwitchSettings


class RoutingSettings(SwitchSettings, CenterSettings):
    """How long owners, offers and nodes are waited for."""

    switches: str = Field(
        "",
        description="FreeSWITCH nodes: name=esl://:PASSWORD@HOST:PORT, separated by commas. Empty: phones are not watched.",
        repr=False,
    )
    routing_lease_s: float = Field(
        3.0,
        description="Seconds without a confirmed renewal after which an owner may be replaced.",
        ge=0.5,
        le=60,
    )
    routing_offer_grace_s: float = Field(
        5.0,
        description="Seconds after the ring time in which an offer may still be reported on.",
        ge=1,
        le=60,
    )
    routing_max_no_answer: int = Field(
        1, description="Unanswered offers in a row that put an agent on a break.", ge=1, le=100
    )
    routing_node_grace_s: float = Field(
        3.0, description="Seconds without a connection to a node before its contacts are frozen.", ge=0, le=60
    )
    routing_snapshot_every: int = Field(
        500,
        description="Log entries after which the state is stored, so that a new owner reads fewer; more where the state is large.",
        ge=10,
    )
