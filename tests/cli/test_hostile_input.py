"""Input that libraries refuse with errors of their own is a mistake with a reason and a fix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.mistakes import GOOD, MISTAKE, assert_error, write_file
from tests.support.rigs import BackendRig

DEEP = "[" * 100_000


@pytest.mark.version_sensitive
@pytest.mark.parametrize(
    ("text", "part"),
    [
        (f"targets = {DEEP}", "flowyml-aws.toml can't be read"),
        ("poll_s = " + "9" * 5000, "flowyml-aws.toml can't be read"),
        (f"targets = '{DEEP}'", "targets in"),
        ("poll_s = true", "Invalid setting poll_s in"),
        ("max_bundle_mib = true", "Invalid setting max_bundle_mib in"),
        ("max_bundle_mib = 1e400", "Invalid setting max_bundle_mib in"),
        (f"poll_s = '{'x' * 20_000_000}'", "(20,000,002 characters)"),
        (f"{'x' * 20_000_000} = 1", "Unknown setting"),
        (f"store = '{'x' * 20_000_000}'", "expected an S3 location"),
    ],
    ids=["deep", "digits", "deep JSON", "bool", "bool for int", "inf", "long", "name", "store"],
)
def test_a_setting_that_can_not_be_used(rig: BackendRig, cli: Cli, text: str, part: str) -> None:
    Path("flowyml-aws.toml").write_text(f"{text}\n")
    answer = cli("runs")
    assert_error(answer, MISTAKE, part)
    assert len(answer.err) < 3000


def test_a_setting_in_a_variable_that_is_nested_deeply(
    rig: BackendRig, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_TARGETS", DEEP)
    assert_error(cli("runs"), MISTAKE, "Invalid setting targets")


@pytest.mark.parametrize("ending", ["json", "toml"])
@pytest.mark.parametrize("value", [DEEP, "9" * 5000], ids=["deep", "digits"])
def test_a_context_file_that_can_not_be_read(
    rig: BackendRig, cli: Cli, file: str, ending: str, value: str
) -> None:
    text = f'{{"a": {value}}}' if ending == "json" else f"a = {value}"
    Path(f"values.{ending}").write_text(text)
    answer = cli("plan", file, "--context-file", f"values.{ending}")
    assert_error(answer, MISTAKE, "Can't read --context-file")


@pytest.mark.parametrize("value", [DEEP, "9" * 5000], ids=["deep", "digits"])
def test_a_context_value_that_is_not_json_is_a_string(
    rig: BackendRig, cli: Cli, value: str
) -> None:
    file = write_file(GOOD.replace("def one()", "def one(text: str)"))
    assert cli("plan", file, "--context", f"text={value}").code == 0


@pytest.mark.parametrize("name", ["group\\udcff", "\\ud800"], ids=["low", "high"])
def test_a_name_that_utf_8_can_not_represent(rig: BackendRig, cli: Cli, name: str) -> None:
    file = write_file(GOOD.replace("@step", f'@step(execution_group="{name}")'))
    answer = cli("plan", file, "--json")
    assert_error(answer, MISTAKE, "UTF-8 can't represent")


def test_an_ignore_file_that_is_not_utf_8(rig: BackendRig, cli: Cli, file: str) -> None:
    Path(".flowymlignore").write_bytes(b"gr\xf6\xdfe\n")
    assert_error(cli("package", file), MISTAKE, ".flowymlignore", "in UTF-8")


def test_resources_that_no_machine_has(rig: BackendRig, cli: Cli) -> None:
    resources = json.dumps({"cpu": "9" * 5000})
    file = write_file(GOOD.replace("@step", f"@step(resources={resources})"))
    assert_error(cli("plan", file), MISTAKE, "it is larger than")
