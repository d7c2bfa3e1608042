"""Registrations of phones, with the events of mod_sofia."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.simswitch.ports import Phone
    from services.simswitch.switch import Switch


def register(switch: Switch, extension: str, phone: Phone | None = None) -> None:
    """A phone registers."""
    if phone is not None:
        switch.phones[extension] = phone
    switch.registered[extension] = switch.clock.now_us()
    contact = f'"{extension}" <sip:{extension}@127.0.0.1:5070;transport=udp>'
    switch.fire(
        "CUSTOM",
        subclass="sofia::register",
        location="sofia::register",
        tail={
            "profile-name": "agents",
            "from-user": extension,
            "from-host": switch.domain,
            "presence-hosts": "n/a",
            "contact": contact,
            "call-id": f"reg-{extension}",
            "rpid": "unknown",
            "status": "Registered(UDP)",
            "expires": "3600",
            "to-user": extension,
            "to-host": switch.domain,
            "network-ip": "127.0.0.1",
            "network-port": "5070",
            "username": extension,
            "realm": switch.domain,
            "user-agent": "Peyvand simulated phone",
        },
    )


def unregister(switch: Switch, extension: str, *, expired: bool = False) -> None:
    """A phone unregisters, or its registration expires (whose event names it ``user``, not ``from-user``)."""
    if switch.registered.pop(extension, None) is None:
        return
    contact = f"sip:{extension}@127.0.0.1:5070;transport=udp"
    if expired:
        switch.fire(
            "CUSTOM",
            subclass="sofia::expire",
            location="sofia::expire",
            tail={
                "profile-name": "agents",
                "call-id": f"reg-{extension}",
                "user": extension,
                "username": extension,
                "host": switch.domain,
                "contact": contact,
                "expires": str(switch.clock.now_us() // 1_000_000),
                "user-agent": "Peyvand simulated phone",
                "realm": switch.domain,
                "network-ip": "127.0.0.1",
                "network-port": "5070",
            },
        )
        return
    switch.fire(
        "CUSTOM",
        subclass="sofia::unregister",
        location="sofia::unregister",
        tail={
            "profile-name": "agents",
            "username": extension,
            "from-user": extension,
            "from-host": switch.domain,
            "contact": contact,
            "call-id": f"reg-{extension}",
            "rpid": "unknown",
            "realm": switch.domain,
            "network-ip": "127.0.0.1",
            "network-port": "5070",
            "user-agent": "Peyvand simulated phone",
            "expires": "0",
        },
    )
