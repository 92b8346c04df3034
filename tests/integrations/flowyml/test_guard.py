"""Where FlowyML would fall back to this machine without a word, there is an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flowyml", reason="needs FlowyML: `make flowyml` has it")

import flowyml

from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.integrations.flowyml import FlowymlAws
from flowyml_aws.integrations.flowyml.guard import UnknownStackError
from tests.integrations.flowyml.conftest import forget, write_stacks
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def ran(local_project: BackendRig, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is there once the step has run."""
    path = local_project.folder / "ran.txt"
    monkeypatch.setenv("RAN", str(path))
    return path


@pytest.fixture(autouse=True)
def nothing_ran(ran: Path) -> Iterator[None]:
    yield
    assert not ran.exists()


def work() -> int:
    Path(os.environ["RAN"]).touch()
    return 1


def make(**options: Any) -> Any:
    return flowyml.Pipeline("p", **options).add_step(flowyml.step(work, register=False))


def test_an_unknown_type_of_orchestrator(local_project: BackendRig) -> None:
    write_stacks(local_project, "{type: flowyml_aw, backend: local}")
    with pytest.raises(UnknownStackError, match="can't make the orchestrator 'flowyml_aw'") as told:
        make().run()
    assert "flowyml_aws" in told.value.why


def test_an_orchestrator_that_is_no_table(local_project: BackendRig) -> None:
    write_stacks(local_project, "flowyml_aws")
    with pytest.raises(UnknownStackError, match="can't make the orchestrator 'flowyml_aws'"):
        make().run()


def test_an_unknown_active_stack(local_project: BackendRig) -> None:
    write_stacks(local_project, active="asw")
    with pytest.raises(UnknownStackError, match="can't make a stack 'asw'") as told:
        make().run()
    assert "flowyml.yaml has aws" in told.value.why
    assert "`active_stack`" in told.value.fix


def test_an_unknown_stack_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWYML_STACK", "asw")
    with pytest.raises(UnknownStackError, match="can't make a stack 'asw'") as told:
        make().run()
    assert "FLOWYML_STACK" in told.value.fix


def test_an_unknown_stack_of_a_pipeline_or_a_run() -> None:
    with pytest.raises(UnknownStackError, match="can't make a stack 'asw'"):
        make(stack="asw")
    with pytest.raises(UnknownStackError, match="can't make a stack 'asw'"):
        make().run(stack="asw")


def test_an_unknown_environment() -> None:
    with pytest.raises(UnknownStackError, match="no stack for the environment 'prod'"):
        make().run(env="prod")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("backnd: local", ["Unknown option 'backnd'", "did you mean 'backend'?"]),
        ("backend: btach", ["Unknown backend 'btach'"]),
        ("backend: [local]", ["Option 'backend'", "a table of groups"]),
        ("backend: local, bucket: b", ["Unknown option 'bucket'", "settings of flowyml-aws"]),
        ("backend: local, store_all: maybe", ["Option 'store_all'", "true or false"]),
        ("backend: local, max_cost_usd: lots", ["Option 'max_cost_usd'", "US dollars"]),
    ],
)
def test_a_wrong_option_is_told_when_the_pipeline_is_run(
    option: str, words: list[str], local_project: BackendRig
) -> None:
    write_stacks(local_project, f"{{type: flowyml_aws, {option}}}")
    with pytest.raises(SettingsError) as told:
        make().run()
    assert all(word in str(told.value) for word in words)


@pytest.mark.parametrize(
    ("argument", "fix"),
    [
        ({"resources": {"cpu": "4"}}, "@step(resources=…)"),
        ({"docker_config": {"image": "mine"}}, "the setting `image`"),
        ({"retry_policy": object()}, "@step(retry=…)"),
        ({"refesh": ["work"]}, "did you mean 'refresh'?"),
    ],
)
def test_arguments_of_a_run_that_would_have_no_effect(argument: dict[str, Any], fix: str) -> None:
    with pytest.raises(SettingsError) as told:
        make().run(**argument)
    assert fix in told.value.fix


def test_a_backend_without_its_settings_is_an_error() -> None:
    with pytest.raises(FlowymlError, match="store"):
        make().run(orchestrator=FlowymlAws(backend="batch"))


def test_mistakes_in_a_pipeline_are_told_before_anything_runs(local_project: BackendRig) -> None:
    def ready(quality: float) -> bool:
        return quality > 0.5

    step = flowyml.step(condition=ready, resources={"gpu": 1}, register=False)(work)
    with pytest.raises(FlowymlError) as told:
        flowyml.Pipeline("p").add_step(step).run()
    assert "'generic'" in str(told.value)
    assert "'quality'" in str(told.value)
    assert not (local_project.folder / ".flowyml" / "aws" / "runs").exists()


class TestFlowymlsOwnRuns:
    """They go on as before where this machine is what was asked for."""

    @pytest.fixture(autouse=True)
    def nothing_ran(self) -> None:
        """They do run."""

    def test_without_stacks(self, local_project: BackendRig, ran: Path) -> None:
        (local_project.folder / "flowyml.yaml").unlink()
        assert make().run().success
        assert ran.exists()

    def test_with_a_local_stack(self, local_project: BackendRig, ran: Path) -> None:
        write_stacks(local_project, "{type: local}")
        assert make().run().success
        assert ran.exists()

    def test_with_the_stack_local(self, local_project: BackendRig, ran: Path) -> None:
        (local_project.folder / "flowyml.yaml").unlink()
        assert make(stack="local").run().success
        assert ran.exists()

    def test_with_an_orchestrator_given_in_python(
        self, local_project: BackendRig, ran: Path
    ) -> None:
        from flowyml import LocalExecutor
        from flowyml.core.orchestrator import LocalOrchestrator

        pipeline = make(executor=LocalExecutor())
        forget()
        assert pipeline.run(orchestrator=LocalOrchestrator()).remote_job_id is None
        assert ran.exists()
