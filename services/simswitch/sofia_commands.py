"""``sofia`` and its kin: profiles, gateways, registrations; texts of mod_sofia 1.10.12."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from services.simswitch.core.leg import stamp
from services.simswitch.switch import Switch

_LINE: Final = "=" * 97
_XML: Final = '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
_USAGE: Final = f"""USAGE:
{"-" * 80}
sofia profile <name> [rescan | restart]
                     flush_inbound_reg [<call_id> | <[user]@domain>]
                     siptrace <on|off>

sofia <status|xmlstatus> profile <name> [reg [<contact str>]] | [user <user@domain>]
sofia <status|xmlstatus> gateway <name>

sofia help
{"-" * 80}
"""
_PORTS: Final = {"agents": 5060, "trunk": 5080}
_EXPIRES_S: Final = 3600


async def sofia(switch: Switch, argument: str) -> str:
    """``sofia status|xmlstatus|profile ...``"""
    words = argument.split()
    verb = words[0] if words else "help"
    if verb == "help":
        return _USAGE
    if verb in ("status", "xmlstatus"):
        return _status(switch, words[1:], xml=verb == "xmlstatus")
    if verb == "profile":
        return _profile(switch, words[1:])
    if verb == "global":
        return f"+OK Global {' '.join(words[1:])}"
    if verb == "loglevel" and len(words) == 3:
        return f"Sofia log level for component [{words[1]}] has been set to [{words[2]}]"
    return f"Unknown Command [{verb}]\n"


def _url(profile: str) -> str:
    return f"sip:mod_sofia@127.0.0.1:{_PORTS.get(profile, 5060)}"


def _calls(switch: Switch, profile: str) -> int:
    return sum(leg.name.startswith(f"sofia/{profile}/") for leg in switch.channels.values())


def _status(switch: Switch, words: list[str], *, xml: bool) -> str:
    profiles = sorted(switch.sofia_profiles)
    if not words:
        return _overview_xml(switch, profiles) if xml else _overview(switch, profiles)
    if words[0] == "profile" and len(words) > 1:
        if words[1] not in profiles:
            return "Invalid Profile!\n"
        if len(words) > 2 and words[2] in ("reg", "user"):
            return _registrations(switch, words[1], words[3:], xml=xml)
        return _profile_status(switch, words[1], xml=xml)
    if words[0] == "gateway" and len(words) > 1 and words[1].rpartition("::")[2] not in switch.gateways:
        return "Invalid Gateway!\n"
    names = [words[1].rpartition("::")[2]] if len(words) > 1 else sorted(switch.gateways)
    if xml:
        body = "".join(_gateway_xml(switch, n, single=len(words) > 1) for n in names)
        return _XML + (body if len(words) > 1 else f"<gateways>\n{body}</gateways>\n")
    if len(words) > 1:
        return _gateway_text(switch, names[0])
    body = "".join(
        f"{'trunk::' + n:>25}\t{'sip:peyvand@127.0.0.1:5090':>32}\t{_state(switch, n)}\t  0.00\t0/0\t0/0\n"
        for n in names
    )
    count = f"{len(names)} gateway{'' if len(names) == 1 else 's'}"
    return (
        f"{'Profile::Gateway-Name':>25}\t{'Data    ':>32}\tState\tPing Time\tIB Calls(F/T)\tOB Calls(F/T)\n"
        f"{_LINE}\n{body}{_LINE}\n{count}: Inbound(Failed/Total): 0/0,Outbound(Failed/Total):0/0\n"
    )


def _state(switch: Switch, gateway: str) -> str:
    return "NOREG" if switch.gateways[gateway].up else "NOREG (Down)"


def _overview(switch: Switch, profiles: list[str]) -> str:
    body = "".join(
        f"{p:>25}\tprofile\t{_url(p):>42}\tRUNNING ({_calls(switch, p)})\n" for p in profiles
    ) + "".join(
        f"{'trunk::' + g:>25}\tgateway\t{'sip:peyvand@127.0.0.1:5090':>42}\t{_state(switch, g)}\n"
        for g in sorted(switch.gateways)
    )
    head = f"{'Name':>25}\t   Type\t{'Data':>42}\tState\n"
    count = f"{len(profiles)} profile{'' if len(profiles) == 1 else 's'} 0 aliases\n"
    return f"{head}{_LINE}\n{body}{_LINE}\n{count}"


def _overview_xml(switch: Switch, profiles: list[str]) -> str:
    body = "".join(
        f"<profile>\n<name>{p}</name>\n<type>profile</type>\n<data>{_url(p)}</data>\n"
        f"<state>RUNNING ({_calls(switch, p)})</state>\n</profile>\n"
        for p in profiles
    ) + "".join(
        f"<gateway>\n<name>{g}</name>\n<type>gateway</type>\n<data>sip:peyvand@127.0.0.1:5090</data>\n"
        f"<state>{_state(switch, g)}</state>\n</gateway>\n"
        for g in sorted(switch.gateways)
    )
    return f"{_XML}<profiles>\n{body}\n</profiles>\n"


def _facts(switch: Switch, profile: str) -> list[tuple[str, str, str]]:
    registered = len(switch.registered) if profile == "agents" else 0
    return [
        ("Name", "name", profile),
        ("Domain Name", "domain-name", "N/A"),
        ("Auto-NAT", "auto-nat", "false"),
        ("DBName", "db-name", f"sofia_reg_{profile}"),
        ("Dialplan", "dialplan", "XML"),
        ("Context", "context", "agents" if profile == "agents" else "public"),
        ("RTP-IP", "rtp-ip", "127.0.0.1"),
        ("SIP-IP", "sip-ip", "127.0.0.1"),
        ("URL", "url", _url(profile)),
        ("BIND-URL", "bind-url", f"{_url(profile)};transport=udp,tcp"),
        ("CODECS IN", "inbound-codecs", "PCMA,PCMU"),
        ("CODECS OUT", "outbound-codecs", "PCMA,PCMU"),
        ("TEL-EVENT", "tel-event", "101"),
        ("DTMF-MODE", "dtmf-mode", "rfc2833"),
        ("REGISTRATIONS", "registrations", str(registered)),
    ]


def _profile_status(switch: Switch, profile: str, *, xml: bool) -> str:
    facts = _facts(switch, profile)
    if xml:
        lines = "".join(f"    <{tag}>{value}</{tag}>\n" for _, tag, value in facts)
        return f"{_XML}<profile>\n  <profile-info>\n{lines}  </profile-info>\n</profile>\n"
    return f"{_LINE}\n" + "".join(f"{label:<17}\t{value}\n" for label, _, value in facts)


def _gateway_facts(switch: Switch, name: str) -> list[tuple[str, str, str]]:
    up = switch.gateways[name].up
    return [
        ("Name", "name", name),
        ("Profile", "profile", "trunk"),
        ("Scheme", "scheme", "Digest"),
        ("Realm", "realm", "127.0.0.1:5090"),
        ("Username", "username", "peyvand"),
        ("Proxy", "proxy", "sip:127.0.0.1:5090"),
        ("Context", "context", "public"),
        ("Expires", "expires", "3600"),
        ("State", "state", "NOREG"),
        ("Status", "status", "UP" if up else "DOWN"),
    ]


def _gateway_text(switch: Switch, name: str) -> str:
    facts = _gateway_facts(switch, name)
    return f"{_LINE}\n" + "".join(f"{label:<8}\t{value}\n" for label, _, value in facts) + f"{_LINE}\n"


def _gateway_xml(switch: Switch, name: str, *, single: bool) -> str:
    pad = "" if single else "  "
    lines = "".join(f"{pad}  <{tag}>{value}</{tag}>\n" for _, tag, value in _gateway_facts(switch, name))
    return f"{pad}<gateway>\n{lines}{pad}</gateway>\n"


def _registrations(switch: Switch, profile: str, wanted: list[str], *, xml: bool) -> str:
    now_s = switch.clock.now_us() // 1_000_000
    found = []
    for extension, since_us in switch.registered.items() if profile == "agents" else ():
        contact = f'"{extension}" <sip:{extension}@127.0.0.1:5070;transport=udp>'
        if wanted and wanted[0].partition("@")[0] not in (extension, contact):
            continue
        ends_s = since_us // 1_000_000 + _EXPIRES_S
        status = f"Registered(UDP)(unknown) EXP({stamp(ends_s * 1_000_000)}) EXPSECS({ends_s - now_s})"
        found.append(
            [
                ("Call-ID", "call-id", f"reg-{extension}"),
                ("User", "user", f"{extension}@{switch.domain}"),
                ("Contact", "contact", contact),
                ("Agent", "agent", "Peyvand simulated phone"),
                ("Status", "status", status),
                ("Ping-Status", "ping-status", "Reachable"),
                ("Ping-Time", "ping-time", "0.00"),
                ("Host", "host", switch.name),
                ("IP", "network-ip", "127.0.0.1"),
                ("Port", "network-port", "5070"),
                ("Auth-User", "sip-auth-user", extension),
                ("Auth-Realm", "sip-auth-realm", switch.domain),
                ("MWI-Account", "mwi-account", f"{extension}@{switch.domain}"),
            ]
        )
    if xml:
        body = "".join(
            "    <registration>\n"
            + "".join(f"        <{tag}>{_xml_text(value)}</{tag}>\n" for _, tag, value in one)
            + "    </registration>\n"
            for one in found
        )
        return f"{_XML}<profile>\n  <registrations>\n{body}  </registrations>\n</profile>\n"
    body = "".join(
        "".join(
            f"{label + ':':<12}\t{value}\n" if label != "Ping-Time" else f"Ping-Time:\t{value}\n"
            for label, _, value in one
        )
        + "\n"
        for one in found
    )
    return f"\nRegistrations:\n{_LINE}\n{body}Total items returned: {len(found)}\n{_LINE}\n"


def _xml_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _profile(switch: Switch, words: list[str]) -> str:
    if len(words) < 2:
        return "Invalid Args!\n"
    name, verb, *rest = words
    if name not in switch.sofia_profiles:
        return f"Invalid Profile [{name}]"
    if verb == "flush_inbound_reg":
        if not rest:
            for extension in list(switch.registered):
                switch.unregister(extension, expired=True)
            return "+OK flushing all registrations\n"
        for extension in list(switch.registered):
            if rest[0] in (f"reg-{extension}", f"{extension}@{switch.domain}"):
                switch.unregister(extension, expired=True)
        return "+OK flushing all registrations matching specified call_id\n"
    if verb == "rescan":
        return "Reload XML [Success]\n+OK scan complete\n"
    if verb == "gwlist":
        up = "".join(f"{g} " for g, gateway in sorted(switch.gateways.items()) if gateway.up)
        return up if name == "trunk" else ""
    if verb == "siptrace" and rest:
        return f"{'Enabled' if rest[0] == 'on' else 'Disabled'} sip debugging on {name}"
    return "-ERR Unknown command!\n"


def _contact(switch: Switch, argument: str) -> str:
    extension = argument.rpartition("/")[2].partition("@")[0]
    if extension in switch.registered:
        return f"sofia/agents/sip:{extension}@127.0.0.1:5070"
    return "error/user_not_registered"


async def sofia_contact(switch: Switch, argument: str) -> str:
    """The dial string of a registered phone."""
    return _contact(switch, argument)


async def sofia_count_reg(switch: Switch, argument: str) -> str:
    """How often a user is registered; -1 for none."""
    return "1" if argument.rpartition("/")[2].partition("@")[0] in switch.registered else "-1"


async def sofia_username_of(switch: Switch, argument: str) -> str:
    """The name that a registered phone authenticated with."""
    extension = argument.rpartition("/")[2].partition("@")[0]
    return extension if extension in switch.registered else ""


SOFIA_COMMANDS: Final[dict[str, Callable[[Switch, str], Awaitable[str]]]] = {
    "sofia": sofia,
    "sofia_contact": sofia_contact,
    "sofia_count_reg": sofia_count_reg,
    "sofia_username_of": sofia_username_of,
}
