"""The two installations that are compared: Peyvand, and mod_callcenter as its own example configures it.

Both are FreeSWITCH with the configuration of this repository: the same profiles, codecs, directory and music. Peyvand's is as it
ships. mod_callcenter's has one module more and two less (no mod_json_cdr, which it does not need; no dialplan of ours), its
queue with the values of its example configuration (longest-idle-agent among them), its agents of the type ``callback`` with the
example's wrap-up, reject and busy times, and its database where it puts it by itself. Nobody but this program is
connected to its event socket, and only to start it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from tests.freeswitch.switch import CONF, DOMAIN

ENTRY = "9000"  # Straight into the queue.
MENU = "9001"  # A prompt, one key, then the queue.
FIRST_EXTENSION = 20_001
MODULES = Path("lib/freeswitch/mod")


def extensions(agents: int) -> list[str]:
    return [str(FIRST_EXTENSION + n) for n in range(agents)]


def has_callcenter(binary: str) -> bool:
    """Whether the FreeSWITCH of this binary has mod_callcenter beside its other modules."""
    prefix = Path(binary).resolve().parent.parent
    return any((prefix / place / "mod_callcenter.so").exists() for place in (MODULES, Path("mod")))


def center(agents: int, wrap_up_s: int) -> str:
    """Peyvand's center document: one queue, everybody in it."""
    return yaml.safe_dump(
        {
            "tenant": "lab",
            "name": {"en": "Bench"},
            "timezone": "UTC",
            "languages": ["en"],
            "default_entry_point": ENTRY,
            "prompts_dir": "prompts",
            "prompts": {
                name: {"en": "Please wait."}
                for name in (
                    *("menu", "outage", "sorry", "caller-left", "disposition", "goodbye", "logged-in"),
                    *("logged-out", "on-break", "available", "saved", "not-possible"),
                )
            },
            "skills": [],
            "queues": {"bench": {"name": {"en": "Bench"}, "ring_s": 20, "wrap_up_s": wrap_up_s}},
            "agents": {
                f"a{extension}": {"name": {"en": extension}, "extension": extension, "queues": ["bench"]}
                for extension in extensions(agents)
            },
            "entry_points": {
                ENTRY: {
                    "name": {"en": "Queue"},
                    "flow": "queue",
                    "language": "en",
                    "fallback_queue": "bench",
                },
                MENU: {"name": {"en": "Menu"}, "flow": "menu", "language": "en", "fallback_queue": "bench"},
            },
            "flows": {
                "queue": {"start": "wait", "nodes": {"wait": {"queue": "bench"}}},
                "menu": {
                    "start": "choose",
                    "nodes": {
                        "choose": {
                            "menu": "menu",
                            "timeout_s": 10,
                            "retries": 1,
                            "digits": {"1": "wait"},
                            "otherwise": "wait",
                        },
                        "wait": {"queue": "bench"},
                    },
                },
            },
        },
        sort_keys=False,
        allow_unicode=True,
    )


def _directory(agents: int) -> str:
    user = '<user id="{}"><params><param name="password" value="$${{cc_agent_password}}"/></params></user>'
    users = "\n".join(user.format(extension) for extension in extensions(agents))
    return f"""<include>
  <domain name="$${{cc_domain}}">
    <params>
      <param name="dial-string" value="{{^^:sip_invite_domain=${{dialed_domain}}}}${{sofia_contact(*/${{dialed_user}}@${{dialed_domain}})}}"/>
    </params>
    <variables><variable name="user_context" value="agents"/></variables>
    <groups><group name="agents"><users>
{users}
    </users></group></groups>
  </domain>
</include>
"""


_DIALPLAN = f"""<include>
  <context name="public">
    <extension name="queue">
      <condition field="destination_number" expression="^{ENTRY}$">
        <action application="answer"/>
        <action application="callcenter" data="bench@default"/>
      </condition>
    </extension>
    <extension name="menu">
      <condition field="destination_number" expression="^{MENU}$">
        <action application="answer"/>
        <action application="play_and_get_digits" data="1 1 1 10000 # @sounds@/prompts/en/menu.wav silence_stream://250 choice \\d"/>
        <action application="callcenter" data="bench@default"/>
      </condition>
    </extension>
  </context>
</include>
"""


def _callcenter(agents: int, wrap_up_s: int) -> str:
    names = extensions(agents)
    agent = (
        '<agent name="{0}@default" type="callback" contact="[leg_timeout=20]user/{0}@{1}" status="Available" '
        'max-no-answer="3" wrap-up-time="{2}" reject-delay-time="10" busy-delay-time="60"/>'
    )
    tier = '<tier agent="{}@default" queue="bench@default" level="1" position="1"/>'
    return f"""<configuration name="callcenter.conf">
  <settings/>
  <queues>
    <queue name="bench@default">
      <param name="strategy" value="longest-idle-agent"/>
      <param name="moh-sound" value="$${{hold_music}}"/>
      <param name="time-base-score" value="system"/>
      <param name="max-wait-time" value="0"/>
      <param name="max-wait-time-with-no-agent" value="0"/>
      <param name="max-wait-time-with-no-agent-time-reached" value="5"/>
      <param name="tier-rules-apply" value="false"/>
      <param name="tier-rule-wait-second" value="300"/>
      <param name="tier-rule-wait-multiply-level" value="true"/>
      <param name="tier-rule-no-agent-no-wait" value="false"/>
      <param name="discard-abandoned-after" value="60"/>
      <param name="abandoned-resume-allowed" value="false"/>
    </queue>
  </queues>
  <agents>
{chr(10).join(agent.format(name, DOMAIN, wrap_up_s) for name in names)}
  </agents>
  <tiers>
{chr(10).join(tier.format(name) for name in names)}
  </tiers>
</configuration>
"""


def peyvand_conf(folder: Path, agents: int) -> Path:
    """This repository's configuration with the agents of the run."""
    shutil.copytree(CONF, folder)
    (folder / "directory" / "agents.xml").write_text(_directory(agents))
    return folder


def callcenter_conf(folder: Path, agents: int, wrap_up_s: int, sounds: Path) -> Path:
    """The same with mod_callcenter in Peyvand's place."""
    peyvand_conf(folder, agents)
    (folder / "dialplan" / "peyvand.xml").unlink()
    (folder / "dialplan" / "callcenter.xml").write_text(_DIALPLAN.replace("@sounds@", str(sounds)))
    (folder / "autoload_configs" / "callcenter.conf.xml").write_text(_callcenter(agents, wrap_up_s))
    modules = folder / "autoload_configs" / "modules.conf.xml"
    lines = modules.read_text().replace('<load module="mod_json_cdr"/>', '<load module="mod_callcenter"/>')
    modules.write_text(lines)
    return folder
