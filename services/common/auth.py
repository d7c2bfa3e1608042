"""Bearer tokens: JWT (HS256) that name a tenant, a role and a person.

``python -m services.common.auth token --tenant demo --role supervisor`` prints one.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args

import jwt

from services.common import config
from services.common.errors import ConfigError, Refused
from services.common.ids import is_token

Role = Literal["agent", "supervisor", "analyst", "admin", "display", "service"]
ROLES: Final[tuple[str, ...]] = get_args(Role)

_ALGORITHM = "HS256"
_AUDIENCE = "peyvand"
_TTL = re.compile(r"^(\d+)([smhd])$")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Principal:
    """Who asks: the tenant that everything is cut to, the role, and the person (an agent's id) or service."""

    tenant: str
    role: str
    subject: str


def issue(secret: str, *, tenant: str, role: Role, subject: str, ttl_s: int) -> str:
    """Return a signed token. Raises ConfigError for a tenant or role that cannot be."""
    if not is_token(tenant):
        raise ConfigError(f"tenant {tenant!r}: expected lower-case letters, digits and '-', at most 63")
    if role not in ROLES:
        raise ConfigError(f"role {role!r}: expected one of {', '.join(ROLES)}")
    now = datetime.now(UTC)
    claims = {
        "aud": _AUDIENCE,
        "sub": subject,
        "tenant": tenant,
        "role": role,
        "iat": now,
        "exp": now + timedelta(seconds=ttl_s),
    }
    return jwt.encode(claims, secret, algorithm=_ALGORITHM)


def check(secret: str, token: str) -> Principal:
    """Return who a token names. Raises Refused (401) when it is missing a claim, expired or not signed by us."""
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["exp", "sub", "aud"]},
        )
    except jwt.ExpiredSignatureError:
        raise Refused("token-expired", "the bearer token has expired", status=401) from None
    except jwt.PyJWTError:
        raise Refused("token-invalid", "the bearer token is not valid here", status=401) from None
    tenant, role = claims.get("tenant"), claims.get("role")
    if not isinstance(tenant, str) or not is_token(tenant) or role not in ROLES:
        raise Refused("token-invalid", "the bearer token names no tenant or role", status=401)
    return Principal(tenant=tenant, role=role, subject=str(claims["sub"]))


def parse_ttl(text: str) -> int:
    """Seconds of ``30m``, ``8h``, ``7d`` or ``45s``. Raises ConfigError."""
    m = _TTL.fullmatch(text)
    if not m:
        raise ConfigError(f"ttl {text!r}: expected a number and s, m, h or d, for example 8h")
    return int(m[1]) * _UNIT_S[m[2]]


class _Secret(config.Settings):
    """Only the secret is needed here."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.common.auth", description=__doc__)
    sub = parser.add_subparsers(dest="command", required=True)
    token = sub.add_parser("token", help="print a bearer token signed with PEYVAND_AUTH_SECRET")
    token.add_argument("--tenant", required=True)
    token.add_argument("--role", required=True, choices=ROLES)
    token.add_argument("--subject", default="", help="agent id, or a name for the log (default: the role)")
    token.add_argument("--ttl", default="8h", help="45s, 30m, 8h, 7d")
    args = parser.parse_args(argv)
    try:
        secret = config.load(_Secret).auth_secret
        text = issue(
            secret,
            tenant=args.tenant,
            role=args.role,
            subject=args.subject or args.role,
            ttl_s=parse_ttl(args.ttl),
        )
    except ConfigError as e:
        sys.stderr.write(f"{e}\n")
        return 1
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
