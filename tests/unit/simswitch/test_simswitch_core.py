"""The pure parts: dialplan, durations, people's decisions, records, recordings, settings."""

from __future__ import annotations

import wave
from pathlib import Path
from random import Random

import numpy as np
import pytest

from services.common.errors import ConfigError
from services.common.esl.quoting import separate
from services.simswitch import dial_string
from services.simswitch.config import SimswitchSettings, overrides
from services.simswitch.core import cdr, dialplan, leg, leg_variables, media, scenario
from services.simswitch.core.causes import cause_named, q850
from services.simswitch.prompts import parse_ask
from services.simswitch.recorder import Recorder, header
from services.simswitch.scenario_file import parse

ROOT = Path(__file__).parents[3]
DIALPLAN = ROOT / "freeswitch" / "conf" / "dialplan" / "peyvand.xml"


def test_the_real_dialplan_leads_a_caller_to_ivr_then_to_waiting() -> None:
    values = {"cc_node": "fs1", "cc_ivr": "127.0.0.1:8084"}
    plan = dialplan.parse(DIALPLAN.read_text(), DIALPLAN, values)
    fields = {"destination_number": "1000", "uuid": "u-1"}
    found = plan.route("public", fields.get)
    assert found is not None
    assert [a.app for a in found.actions] == [
        "multiset",
        "answer",
        "socket",
        "stop_record_session",
        "multiset",
        "event",
        "playback",
        "park",
    ]
    multiset = dialplan.expand(found.actions[0].data, fields.get)
    assert {"cc_entry=1000", "cc_contact=u-1", "cc_node=fs1", "presence_data=c/-/u-1"} <= set(
        multiset.split(";")
    )
    assert found.actions[2].data == "127.0.0.1:8084 async full"
    assert "cc_hearing=none" in multiset, "stopping needs a name also where nobody listens"
    assert (
        dialplan.expand(found.actions[3].data, {"cc_hearing": "/s/heard/u-1.wav"}.get) == "/s/heard/u-1.wav"
    )


def test_the_real_dialplan_leads_a_feature_code_to_ivr_and_ends() -> None:
    plan = dialplan.parse(DIALPLAN.read_text(), DIALPLAN, {"cc_ivr": "x:1"})
    found = plan.route("agents", {"destination_number": "*261", "user_name": "1001"}.get)
    assert found is not None
    assert [a.app for a in found.actions] == ["multiset", "answer", "socket", "hangup"]
    assert "cc_entry=*261" in found.actions[0].data
    assert plan.route("agents", {"destination_number": "abc"}.get) is None


def test_conditions_are_joined_and_anti_actions_run() -> None:
    text = """<include><context name="c">
      <extension name="no"><condition field="a" expression="^1$"><anti-action application="log" data="anti"/></condition>
        <condition field="b" expression="2"><action application="set" data="never"/></condition></extension>
      <extension name="more" continue="true"><condition field="${b}" expression="^(2)(3)?$"><action application="set"
        data="x=$1-$2"/></condition></extension>
      <extension name="yes"><condition><action application="park"/></condition></extension>
    </context></include>"""
    plan = dialplan.parse(text, Path("x.xml"), {})
    found = plan.route("c", {"a": "0", "b": "2"}.get)
    assert found is not None
    assert [(a.app, a.data) for a in found.actions] == [("log", "anti"), ("set", "x=2-"), ("park", "")]


@pytest.mark.parametrize(
    "text",
    [
        "<include>",
        "<include/>",
        '<i><context name="c"><extension><condition expression="("/></extension></context></i>',
    ],
)
def test_a_broken_dialplan_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.xml"):
        dialplan.parse(text, Path("x.xml"), {})


def test_globals_come_from_set_then_environment() -> None:
    text = """<include><X-PRE-PROCESS cmd="set" data="a=1"/><X-PRE-PROCESS cmd="env-set" data="a=$A"/>
      <X-PRE-PROCESS cmd="set" data="b=$${a}2"/></include>"""
    assert dialplan.parse_globals(text, Path("v"), {}) == {"a": "1", "b": "12"}
    assert dialplan.parse_globals(text, Path("v"), {"A": "9"}) == {"a": "9", "b": "92"}


def test_inline_actions_and_their_separator() -> None:
    quoted = dialplan.inline("set:a=b,set:c='q, r',park:", separate)
    assert [x.data for x in quoted] == ["a=b", "c=q, r", ""]
    actions = dialplan.inline("set:cc_state=waiting,playback:local_stream://moh,park:", separate)
    assert [(a.app, a.data) for a in actions] == [
        ("set", "cc_state=waiting"),
        ("playback", "local_stream://moh"),
        ("park", ""),
    ]
    assert dialplan.inline("m:^:set:a=1,2^park", separate) == (
        dialplan.Action("set", "a=1,2"),
        dialplan.Action("park", ""),
    )


def test_an_escaped_expansion_stays_and_an_unknown_variable_is_empty() -> None:
    assert dialplan.expand("${a}-\\${a}-${b}", {"a": "1"}.get) == "1-${a}-"


@pytest.mark.parametrize(
    ("path", "ms"),
    [
        ("local_stream://moh", media.ENDLESS),
        ("silence_stream://200", 200),
        ("silence_stream://500,1400", 500),
        ("silence_stream://-1", media.ENDLESS),
        ("tone_stream://%(300,100,440)", 400),
        ("tone_stream://%(200,800,440);loops=3", 3000),
        ("tone_stream://%(1,1,440);loops=-1", media.ENDLESS),
        ("file_string://a.wav!b.wav", 300),
        ("file_string://a.wav!none.wav", 100),
        ("{timeout=5}a.wav", 100),
        ("none.wav", media.MISSING),
        ("", media.MISSING),
    ],
)
def test_durations(path: str, ms: int) -> None:
    lengths = {"a.wav": 100, "b.wav": 200}
    assert media.duration_ms(path, lambda p: lengths.get(p, media.MISSING)) == ms


def test_arguments_of_play_and_get_digits() -> None:
    ask = parse_ask(r"1 3 2 3000 # 'file_string://a b!c' inv.wav menu ^\d+$ 1000")
    assert ask is not None
    assert (ask.max_digits, ask.tries, ask.prompt, ask.digit_timeout_ms) == (
        3,
        2,
        "file_string://a b!c",
        1000,
    )
    assert ask.expression == r"^\d+$"
    assert parse_ask("1 2 3") is None


def test_dial_strings() -> None:
    """Levels, separators and who wins, as a real 1.10.12 read the same strings (``a`` and so on as CHANNEL_CREATE showed them)."""
    (attempt,) = dial_string.parse("{origination_uuid=A,cc_name='x\\,y'}user/1001@peyvand.local")
    ((found,),) = attempt.groups
    assert (found.endpoint, found.number, found.place) == ("user", "1001", "peyvand.local")
    assert found.variables["origination_uuid"] == "A"
    ((gateway,),) = dial_string.parse("sofia/gateway/carrier/+98211234")[0].groups
    assert (gateway.endpoint, gateway.place, gateway.number) == ("gateway", "carrier", "+98211234")
    (attempt,) = dial_string.parse(
        "{a=1,b=2}[a=3,c=4]sofia/agents/201@h:1 , sofia/agents/202%d|[leg_timeout=9]null/x"
    )
    assert [[d.number for d in group] for group in attempt.groups] == [["201", "202"], ["x"]]
    first, second, third = (d for group in attempt.groups for d in group)
    assert dict(first.variables) == {"a": "1", "b": "2", "c": "4"}, "the braces win over the brackets"
    assert (first.host, first.registered, second.host, second.registered) == ("h:1", False, "d", True)
    assert dict(third.local) == {"leg_timeout": "9"}
    ((clobbered,),) = dial_string.parse("{a=1,local_var_clobber=true}[a=3]null/x")[0].groups
    assert clobbered.variables["a"] == "3"
    one, two = dial_string.parse("<a=1>{b=2}[c=3]sofia/agents/201@h:_:{b=3}sofia/agents/301@h")
    assert dict(one.groups[0][0].variables) == {"a": "1", "b": "2", "c": "3"}
    assert dict(two.groups[0][0].variables) == {"a": "1", "b": "3"}
    ((colons,),) = dial_string.parse("{^^:a=1:b=2,3}null/x")[0].groups
    assert dict(colons.variables) == {"a": "1", "b": "2,3"}
    ((loopback,),) = dial_string.parse("loopback/1000/public")[0].groups
    assert (loopback.number, loopback.place) == ("1000", "public")


def test_causes_have_the_numbers_of_freeswitch() -> None:
    assert (q850("USER_BUSY"), q850("LOSE_RACE"), q850("ORIGINATOR_CANCEL")) == (17, 16, 16)
    assert [cause_named(x) for x in ("user_busy", "17", "nonsense", "805")] == [
        "USER_BUSY",
        "USER_BUSY",
        "NORMAL_CLEARING",
        "PICKED_OFF",
    ]


def test_the_same_seed_makes_the_same_people() -> None:
    plans = [
        [scenario.new_caller(scenario.Scenario(), {"1000": 1.0, "2000": 1.0}, chance) for _ in range(20)]
        for chance in (Random(7), Random(7), Random(8))
    ]
    assert plans[0] == plans[1] != plans[2]


def test_habits_have_their_weights() -> None:
    chance = Random(1)
    s = scenario.Scenario(agent=scenario.AgentHabits(misses=0.2, declines=0.1))
    outcomes = [scenario.at_ring(s, chance).outcome for _ in range(4000)]
    assert 0.17 < outcomes.count("no_answer") / 4000 < 0.23
    assert 0.08 < outcomes.count("decline") / 4000 < 0.12
    menus = [scenario.at_menu(s, chance) for _ in range(4000)]
    assert {m.digit for m in menus} == {"1", "2", "9", ""}
    assert 0.02 < sum(m.hangup for m in menus) / 4000 < 0.06
    wraps = {scenario.after_call(s, chance).how for _ in range(200)}
    assert wraps == {"press", "dial", "nothing"}
    assert scenario.next_arrival_s(scenario.Scenario(rate=0.0), chance) == float("inf")


def test_a_scenario_from_yaml() -> None:
    found = parse(
        "rate: 3\ntime_scale: 10\nentries: {'1000': 2}\ncaller: {patience: {median: 5, sigma: 0}, leaves_in_menu: 0}\n"
        "agent: {talk: 4, dispositions: ['1']}\n",
        "s.yaml",
    )
    assert (found.rate, found.time_scale, found.entries) == (3.0, 10.0, {"1000": 2.0})
    assert found.caller.patience.draw(Random(1)) == 5.0
    assert found.agent.talk.draw(Random(1)) == 4.0
    assert found.agent.dispositions == ("1",)


@pytest.mark.parametrize(
    "text", ["rat: 1", "rate: x", "rate: -1", "time_scale: 0", "caller: 3", "agent: {talk: {mean: 1}}", ": ["]
)
def test_a_wrong_scenario_names_its_place(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^s\.yaml"):
        parse(text, "s.yaml")


def test_settings_give_globals(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PEYVAND_AUTH_SECRET", "x" * 32)
    monkeypatch.setenv("PEYVAND_HTTP_PORT", "8106")
    monkeypatch.setenv("PEYVAND_SIMSWITCH_IVR", "127.0.0.1:1|127.0.0.1:2")
    monkeypatch.setenv("PEYVAND_SIMSWITCH_OUTBOUND", "domain=x.y; cc_sip_ip=1.2.3.4")
    monkeypatch.setenv("PEYVAND_SIMSWITCH_SOUNDS", str(tmp_path))
    settings = SimswitchSettings()  # type: ignore[call-arg]
    assert settings.http_port == 8106
    found = overrides(settings)
    assert found["cc_ivr"] == "127.0.0.1:1|127.0.0.1:2"
    assert (found["domain"], found["cc_sip_ip"]) == ("x.y", "1.2.3.4")
    assert found["sounds_dir"] == str(tmp_path)
    monkeypatch.setenv("PEYVAND_SIMSWITCH_OUTBOUND", "nonsense")
    with pytest.raises(ConfigError):
        overrides(SimswitchSettings())  # type: ignore[call-arg]


def test_a_recording_has_both_tones_and_a_mask_is_silence(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.wav"
    recorder = Recorder(str(path), 0, 440, 1000)
    recorder.write_until(500_000)
    assert path.read_bytes()[:44] == header(0), "until it is closed the header says nothing"
    recorder.mask(True, 1_000_000)
    recorder.mask(False, 2_000_000)
    recorder.hears(600, 3_000_000)
    size = recorder.close(4_000_000)
    assert size == path.stat().st_size == 44 + 4 * 8000 * 4
    assert recorder.ms == 4000
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, 32000)
        sound = np.frombuffer(file.readframes(32000), "<i2").reshape(4, 8000, 2)

    def tone(second: int, column: int) -> int:
        return int(np.argmax(np.abs(np.fft.rfft(sound[second, :, column]))))

    assert [tone(0, 0), tone(0, 1), tone(3, 0), tone(3, 1)] == [440, 1000, 440, 600]
    assert not sound[1].any()


def test_a_record_has_the_layout_of_mod_json_cdr() -> None:
    profile = leg.Profile(
        "inbound", "u", "sofia/trunk/1@h", "mod_sofia", "public", "1000", cid_number="0912", dialplan="XML",
        times=leg.Times(created=1_000_000, profile_created=1_000_000, answered=2_000_000, hungup=5_000_000),
    )  # fmt: skip
    one = leg.Leg("u", profile, 1)
    one.hangup_cause, one.hangup_disposition, one.state = "USER_BUSY", "recv_bye", "CS_REPORTING"
    one.app_log.append(("park", "", 3))
    one.variables.update(leg_variables.hangup_variables(one))
    made = cdr.record(one, core_uuid="c", switchname="fs1")
    assert list(made) == [
        "core-uuid",
        "switchname",
        "channel_data",
        "callStats",
        "variables",
        "app_log",
        "callflow",
    ]
    assert made["variables"]["hangup_cause_q850"] == "17"
    assert (made["variables"]["duration"], made["variables"]["billsec"], made["variables"]["billmsec"]) == (
        "4",
        "3",
        "3000",
    )
    assert made["variables"]["start_stamp"] == "1970-01-01 00:00:01"
    assert made["callflow"][0]["times"]["hangup_time"] == "5000000"
    assert made["channel_data"] | {"flags": "", "caps": ""} == {
        "state": "CS_REPORTING", "direction": "inbound", "state_number": "11", "flags": "", "caps": "",
    }  # fmt: skip


def test_a_leg_that_was_refused_says_what_the_phone_answered() -> None:
    profile = leg.Profile("outbound", "u", "n", "s", "default", "1001", times=leg.Times(created=1, hungup=2))
    one = leg.Leg("u", profile, 1)
    one.hangup_cause, one.hangup_disposition = "CALL_REJECTED", "recv_refuse"
    found = leg_variables.hangup_variables(one)
    assert (found["sip_invite_failure_status"], found["proto_specific_hangup_cause"]) == ("603", "sip:603")
    assert "rtp_audio_in_mos" not in found
