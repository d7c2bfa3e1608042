"""deploy/services.yaml is the one table: what else lists the processes must agree with it."""

from importlib.util import find_spec

import yaml

from deploy.dev.stack import ROOT, table


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
        if row.esl_port:
            assert ours[row.name]["environment"]["PEYVAND_IVR_ESL_PORT"] == str(row.esl_port)


def test_every_row_names_a_package_that_can_be_run() -> None:
    assert all(find_spec(f"services.{row.name}") for row in table())
