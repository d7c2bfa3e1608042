"""deploy/services.yaml is the one table: what else lists the processes must agree with it."""

import socket
import subprocess
import sys
from importlib.util import find_spec

import yaml

from deploy.dev.stack import ROOT, find_shift, table


def test_compose_runs_exactly_the_services_of_the_table_on_their_ports() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    ours = {
        name: part
        for name, part in compose["services"].items()
        if part.get("image") == "peyvand" and name != "streams"
    }
    assert ours.keys() == {row.name for row in table()}
    for row in table():
        assert ours[row.name]["command"] == ["python", "-m", f"services.{row.name}"]
        assert ours[row.name]["environment"]["PEYVAND_HTTP_PORT"] == str(row.port)
        assert (ours[row.name].get("cpu_shares", 1024) > 1024) == (row.nice < 0)
        if row.esl_port:
            assert ours[row.name]["environment"]["PEYVAND_IVR_ESL_PORT"] == str(row.esl_port)


def test_every_row_names_a_package_that_can_be_run() -> None:
    assert all(find_spec(f"services.{row.name}") for row in table())


def test_a_real_switch_on_its_own_port_does_not_move_ours() -> None:
    base = find_shift(40_000)
    with socket.socket() as switch:
        switch.bind(("127.0.0.1", 8021 + base))
        switch.listen()
        assert find_shift(base, real_switch=True) == base
        assert find_shift(base) > base


def test_two_that_look_for_ports_at_the_same_moment_get_different_ones() -> None:
    ours = find_shift(44_000)  # Nothing listens there yet.
    other = subprocess.run(
        [sys.executable, "-c", f"from deploy.dev.stack import find_shift; print(find_shift({ours}))"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert int(other.stdout) > ours
    assert find_shift(ours) == ours
