"""The lab of the recordings, as far as their events tell it: its dialplan, its phones and who may log in to its event socket.

Its phones were extensions of the switch itself: ``sofia/internal/talker@…`` leaves by one profile and comes in by the other.
A simulated switch reads the same files; there the phones are objects (`tests.fidelity.simulated`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

PASSWORD: Final = "ClueCon"

_DIALPLAN: Final = """\
<include>
  <context name="esl">
    <extension name="async"><condition field="destination_number" expression="^async$">
      <action application="socket" data="127.0.0.1:$${controller} async full"/></condition></extension>
    <extension name="echo"><condition field="destination_number" expression="^echo$">
      <action application="answer"/><action application="echo"/></condition></extension>
    <extension name="park"><condition field="destination_number" expression="^park$">
      <action application="answer"/><action application="park"/></condition></extension>
    <extension name="talker"><condition field="destination_number" expression="^talker$">
      <action application="answer"/>
      <action application="playback" data="tone_stream://%(500,500,440);loops=-1"/></condition></extension>
    <extension name="agent"><condition field="destination_number" expression="^agent$">
      <action application="ring_ready"/><action application="sleep" data="300"/><action application="answer"/>
      <action application="playback" data="silence_stream://-1"/></condition></extension>
    <extension name="busy"><condition field="destination_number" expression="^busy$">
      <action application="hangup" data="USER_BUSY"/></condition></extension>
    <extension name="unalloc"><condition field="destination_number" expression="^unalloc$">
      <action application="hangup" data="UNALLOCATED_NUMBER"/></condition></extension>
    <extension name="reject"><condition field="destination_number" expression="^reject$">
      <action application="hangup" data="CALL_REJECTED"/></condition></extension>
    <extension name="noanswer"><condition field="destination_number" expression="^noanswer$">
      <action application="ring_ready"/><action application="sleep" data="60000"/></condition></extension>
  </context>
</include>
"""

_MANY_COMMANDS: Final = " ".join(f"api_command_{n}" for n in range(40))

_DIRECTORY: Final = f"""\
<include>
  <domain name="127.0.0.1">
    <groups><group name="esl"><users>
      <user id="esluser"><params>
        <param name="esl-password" value="secret"/>
        <param name="esl-allowed-log" value="false"/>
        <param name="esl-allowed-events" value="CHANNEL_ANSWER CHANNEL_HANGUP CUSTOM callcenter::info"/>
        <param name="esl-allowed-api" value="status show uuid_dump"/>
      </params></user>
      <user id="eslbig"><params>
        <param name="esl-password" value="secret"/>
        <param name="esl-allowed-events" value="CHANNEL_ANSWER CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE CHANNEL_CREATE \
CHANNEL_BRIDGE CHANNEL_UNBRIDGE CHANNEL_EXECUTE CHANNEL_EXECUTE_COMPLETE"/>
        <param name="esl-allowed-api" value="{_MANY_COMMANDS}"/>
      </params></user>
    </users></group></groups>
  </domain>
</include>
"""


def write_lab(conf: Path) -> Path:
    """Write the dialplan and the directory below ``conf``; return the dialplan's file."""
    files = {"dialplan/lab.xml": _DIALPLAN, "directory/lab.xml": _DIRECTORY}
    for name, text in files.items():
        file = conf / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return conf / "dialplan" / "lab.xml"
