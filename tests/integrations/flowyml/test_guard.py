"""Errors instead of silent runs on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flowyml", reason="needs FlowyML: `make flowyml` has it")

import flowyml

from flowyml_aws.core.errors import FlowymlError, InvalidPipelineError, SettingsError
from flowyml_aws.integrations.flowyml import FlowymlAws
from flowyml_aws.integrations.flowyml.guard import UnknownStackError
from tests.integrations.flowyml.conftest import reset_flowyml, write_stacks
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def ran(local_project: BackendRig, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of a file that exists once the step has run."""
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


def pipeline_of(**options: Any) -> Any:
    return flowyml.Pipeline("p", **options).add_step(flowyml.step(work, register=False))


def test_an_unknown_orchestrator_type(local_project: BackendRig) -> None:
    write_stacks(local_project, "{type: flowyml_aw, backend: local}")
    with pytest.raises(
        UnknownStackError, match="cannot create the orchestrator 'flowyml_aw'"
    ) as caught:
        pipeline_of().run()
    assert "flowyml_aws" in caught.value.why


def test_an_orchestrator_that_is_not_a_mapping(local_project: BackendRig) -> None:
    write_stacks(local_project, "flowyml_aws")
    with pytest.raises(UnknownStackError, match="cannot create the orchestrator 'flowyml_aws'"):
        pipeline_of().run()


def test_an_unknown_active_stack(local_project: BackendRig) -> None:
    write_stacks(local_project, active="asw")
    with pytest.raises(UnknownStackError, match="cannot create the stack 'asw'") as caught:
        pipeline_of().run()
    assert "flowyml.yaml defines aws" in caught.value.why
    assert "`active_stack`" in caught.value.fix


def test_an_unknown_stack_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWYML_STACK", "asw")
    with pytest.raises(UnknownStackError, match="cannot create the stack 'asw'") as caught:
        pipeline_of().run()
    assert "FLOWYML_STACK" in caught.value.fix


def test_an_unknown_stack_of_a_pipeline_or_a_run() -> None:
    with pytest.raises(UnknownStackError, match="cannot create the stack 'asw'"):
        pipeline_of(stack="asw")
    with pytest.raises(UnknownStackError, match="cannot create the stack 'asw'"):
        pipeline_of().run(stack="asw")


def test_an_unknown_environment() -> None:
    with pytest.raises(UnknownStackError, match="no stack for the environment 'prod'"):
        pipeline_of().run(env="prod")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("backnd: local", ["Unknown option 'backnd'", "did you mean 'backend'?"]),
        ("backend: [local]", ["option 'backend'", "a mapping of groups"]),
        ("backend: local, bucket: b", ["Unknown option 'bucket'", "settings of flowyml-aws"]),
        ("backend: local, store_all: maybe", ["option 'store_all'", "true or false"]),
        ("backend: local, max_cost_usd: lots", ["option 'max_cost_usd'", "US dollars"]),
        ("backend: local, allow_pickle: maybe", ["option 'allow_pickle'", "true or false"]),
    ],
)
def test_an_invalid_option_is_reported_when_the_pipeline_is_run(
    option: str, words: list[str], local_project: BackendRig
) -> None:
    write_stacks(local_project, f"{{type: flowyml_aws, {option}}}")
    with pytest.raises(SettingsError) as caught:
        pipeline_of().run()
    assert all(word in str(caught.value) for word in words)


def test_an_unknown_backend_is_in_the_report_of_the_pipeline(local_project: BackendRig) -> None:
    write_stacks(local_project, "{type: flowyml_aws, backend: btach}")
    with pytest.raises(InvalidPipelineError) as caught:
        pipeline_of().run()
    assert "Unknown backend 'btach'" in str(caught.value)
    assert "did you mean 'batch'?" in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "fix"),
    [
        ({"docker_config": {"image": "mine"}}, "the setting `image`"),
        ({"retry_policy": object()}, "retry_policy=OrchestratorRetryPolicy(max_attempts=3)"),
        ({"refesh": ["work"]}, "did you mean 'refresh'?"),
    ],
)
def test_arguments_of_a_run_that_are_not_supported(argument: dict[str, Any], fix: str) -> None:
    with pytest.raises(SettingsError) as caught:
        pipeline_of().run(**argument)
    assert fix in caught.value.fix


def test_a_backend_without_its_settings_is_an_error() -> None:
    with pytest.raises(FlowymlError, match="store"):
        pipeline_of().run(orchestrator=FlowymlAws(backend="batch"))


def test_mistakes_in_a_pipeline_are_reported_before_it_runs(local_project: BackendRig) -> None:
    def ready(quality: float) -> bool:
        return quality > 0.5

    step = flowyml.step(condition=ready, resources={"gpu": 1}, register=False)(work)
    with pytest.raises(FlowymlError) as caught:
        flowyml.Pipeline("p").add_step(step).run()
    assert "'generic'" in str(caught.value)
    assert "'quality'" in str(caught.value)
    assert not (local_project.folder / ".flowyml" / "aws" / "runs").exists()


class TestLocalRunsOfFlowyml:
    """FlowyML still runs pipelines on this machine if that is what was configured."""

    @pytest.fixture(autouse=True)
    def nothing_ran(self) -> None:
        """Replace the check: these pipelines run."""

    def test_without_stacks(self, local_project: BackendRig, ran: Path) -> None:
        (local_project.folder / "flowyml.yaml").unlink()
        assert pipeline_of().run().success
        assert ran.exists()

    def test_with_a_local_stack(self, local_project: BackendRig, ran: Path) -> None:
        write_stacks(local_project, "{type: local}")
        assert pipeline_of().run().success
        assert ran.exists()

    def test_with_the_stack_named_local(self, local_project: BackendRig, ran: Path) -> None:
        (local_project.folder / "flowyml.yaml").unlink()
        assert pipeline_of(stack="local").run().success
        assert ran.exists()

    def test_with_an_orchestrator_chosen_in_python(
        self, local_project: BackendRig, ran: Path
    ) -> None:
        from flowyml import LocalExecutor
        from flowyml.core.orchestrator import LocalOrchestrator

        pipeline = pipeline_of(executor=LocalExecutor())
        reset_flowyml()
        assert pipeline.run(orchestrator=LocalOrchestrator()).remote_job_id is None
        assert ran.exists()
