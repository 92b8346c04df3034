"""Notices of runs on this machine, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws import Pipeline, step
from flowyml_aws.client.options import RunOptions
from flowyml_aws.client.preview import with_notices
from flowyml_aws.client.request import RunRequest
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.planning.placement import Placement
from flowyml_aws.settings.model import Settings
from tests.support.plans import a_job, a_plan

HOOK = "webhook:env:HOOK"


def problems(detached: bool, backend: str, **options: object) -> list[str]:
    request = RunRequest("p", (), options=RunOptions(**options), detached=detached)  # type: ignore[arg-type]
    found = request.recipient_problems(Placement.of(backend), Settings(notify=(HOOK,)))
    return [problem.why for problem in found]


def test_a_webhook_without_its_variable_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    assert problems(False, "local") == ["the variable HOOK is not set"]
    monkeypatch.setenv("HOOK", "https://hooks.example.com")
    assert problems(False, "local") == []
    assert problems(True, "local") == []


def test_a_detached_run_on_aws_does_not_have_the_variables_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOOK", "https://hooks.example.com")
    (why,) = problems(True, "batch")
    assert "does not have the variables of this machine" in why
    assert problems(True, "batch", notify=["webhook:/team/hook"]) == []


def test_the_recipients_of_a_run_replace_those_of_the_settings() -> None:
    plan, settings = a_plan(a_job("a")), Settings(notify=(HOOK,))
    assert with_notices(plan, settings, None).notify == (HOOK,)
    assert with_notices(plan, settings, ["events:b", "events:b"]).notify == ("events:b",)
    assert with_notices(plan, settings, []).notify == ()


@step(outputs=["a"])
def one() -> int:
    return 1


def test_a_url_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_LOCAL_STORE", str(tmp_path / "store"))
    pipeline = Pipeline("p").add_step(one)
    with pytest.raises(InvalidPipelineError) as caught:
        pipeline.plan(notify=["https://hooks.example.com/s3cret"])
    assert "s3cret" not in str(caught.value)
    assert not (tmp_path / "store").exists()
