"""Completion in the shell, by the protocols of the scripts that typer installs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.record import ParentRun, read_record
from tests.cli.conftest import Cli
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.contract

Complete = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[BackendRig, str]:
    """A finished run for all tests."""
    rig = BackendRig("local", tmp_path_factory.mktemp("kinds") / "project")
    with rig.entered():
        return rig, rig.pipeline("kinds").run(progress=False).run_id


@pytest.fixture
def run_id(kinds: tuple[BackendRig, str]) -> Iterator[str]:
    rig, run_id = kinds
    with rig.entered():
        yield run_id


@pytest.fixture
def complete(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Complete:
    """Function that returns bash's completions of the last word of a line."""

    def completions(line: str) -> list[str]:
        monkeypatch.setenv("_FLOWYML_AWS_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        answer = cli()
        assert answer.err == ""
        return answer.out.split()

    return completions


@pytest.mark.parametrize(
    "command",
    ["status", "logs", "attach", "cancel", "get", "why", "resume", "doctor --run"],
)
def test_runs_are_completed(run_id: str, complete: Complete, command: str) -> None:
    assert complete(f"flowyml-aws {command} kin") == [run_id]
    assert complete(f"flowyml-aws {command} ")[:2] == ["latest", run_id]


@pytest.mark.parametrize("run", ["latest", "latest:kinds", "kinds-2"])
def test_names_in_a_run_are_completed(run_id: str, complete: Complete, run: str) -> None:
    assert complete(f"flowyml-aws why {run} co") == ["count", "compute", "collect"]
    assert complete(f"flowyml-aws logs {run} ") == ["plain"]
    assert complete(f"flowyml-aws status {run} --job ") == ["plain"]

    assert complete(f"flowyml-aws get {run} r") == ["raw", "report", "read"]


@pytest.fixture
def sub_run(kinds: tuple[BackendRig, str], run_id: str) -> Iterator[str]:
    """The record of a sub-run, newer than all runs."""
    store = DirectoryArtifactStore(kinds[0].folder / Settings().local_store)
    parent = ParentRun(run_id=run_id, step="compute", depth=1)
    facts = {"run_id": "around-29991231-235959-ffffff", "parent": parent}
    record = read_record(store, run_id).model_copy(update=facts)
    store.put(RunLayout(record.run_id).run, record.to_json())
    yield record.run_id
    store.delete([RunLayout(record.run_id).run])


def test_steps_for_exec_are_those_of_the_latest_run(sub_run: str, complete: Complete) -> None:
    assert complete("flowyml-aws exec --like co") == ["count", "compute", "collect"]


def test_commands_are_completed(run_id: str, complete: Complete) -> None:
    assert complete("flowyml-aws stat") == ["status"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_the_same_names(
    run_id: str, cli: Cli, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.setenv("_FLOWYML_AWS_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "flowyml-aws status kin")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert run_id in cli().out


@pytest.mark.parametrize("line", ["get nothing ", "get latest:nothing ", "why a/../b "])
def test_an_unknown_run_completes_nothing(run_id: str, complete: Complete, line: str) -> None:
    assert complete(f"flowyml-aws {line}") == []


def test_a_project_without_runs_completes_latest(rig: BackendRig, complete: Complete) -> None:
    assert complete("flowyml-aws status ") == ["latest"]


def test_settings_that_are_malformed_print_no_error(rig: BackendRig, complete: Complete) -> None:
    (rig.folder / "flowyml-aws.toml").write_text("poll_s = 'often'\n")
    assert complete("flowyml-aws status ") == []


def test_own_runs_in_s3_are_completed_without_a_call(
    rig: BackendRig, complete: Complete, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flowyml_aws.submission.own_runs import remember_run

    monkeypatch.setenv("XDG_STATE_HOME", str(rig.folder / "state"))
    monkeypatch.setenv("FLOWYML_AWS_STORE", "s3://bucket/prefix")
    remember_run("s3://bucket/prefix", "mine-20261122-150531-3f9a1c")
    remember_run("s3://other/prefix", "other-20261122-150531-3f9a1c")
    assert complete("flowyml-aws status ") == ["latest", "mine-20261122-150531-3f9a1c"]
