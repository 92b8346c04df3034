"""Approvals of FlowyML: they wait for the steps before them, and the steps after them wait."""

from __future__ import annotations

import threading
from typing import Any

import pytest

pytest.importorskip("flowyml", reason="needs FlowyML: `make flowyml` has it")

import flowyml

from flowyml_aws import Step, approval, step
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.core.inlining import inline
from flowyml_aws.integrations.flowyml import FlowymlAws
from flowyml_aws.integrations.flowyml.adapter import pipeline_of
from flowyml_aws.integrations.flowyml.approvals import with_waits
from tests.support.rigs import BackendRig, eventually


def a_step(name: str, *inputs: str) -> Step:
    return step(name=name, inputs=list(inputs))(lambda *values: values)


def waits(*steps: Step) -> dict[str, tuple[str, ...]]:
    return {each.name: each.after for each in with_waits(steps)}


def test_an_approval_waits_for_all_steps_before_it_and_is_awaited_by_all_after_it() -> None:
    found = waits(a_step("a"), a_step("b"), approval("ok"), a_step("c", "a"), a_step("d"))
    assert found == {"a": (), "b": (), "ok": ("a", "b"), "c": ("ok",), "d": ("ok",)}


def test_a_second_approval_waits_for_the_first_one() -> None:
    found = waits(a_step("a"), approval("one"), a_step("b"), approval("two"), a_step("c"))
    assert found["two"] == ("a", "one", "b")
    assert (found["b"], found["c"]) == (("one",), ("two",))


def test_a_later_step_that_an_earlier_one_needs_does_not_wait() -> None:
    found = waits(a_step("train", "data"), approval("ok"), a_step("data"), a_step("deploy"))
    assert found == {"train": (), "ok": ("train", "data"), "data": (), "deploy": ("ok",)}


def flowyml_approval(**options: Any) -> Any:
    def release(data: Any) -> None:
        """Give the approval its name: FlowyML takes a function."""

    return flowyml.ApprovalStep(release, **options)


def flowyml_pipeline(**options: Any) -> Any:
    pause = flowyml_approval(approver="ml-team", **options)
    train = flowyml.step(outputs=["model"], register=False, name="train")(lambda: 21)
    deploy = flowyml.step(inputs=["model"], register=False, name="deploy")(lambda model: 2 * model)
    return flowyml.Pipeline("p").add_steps([train, pause, deploy])


def test_an_approval_of_flowyml_is_converted() -> None:
    pipeline = flowyml_pipeline(timeout_seconds=60)
    _, release, deploy = pipeline_of(pipeline).steps
    assert release.approval is not None
    assert (release.approval.timeout_s, release.approval.approver) == (60.0, "ml-team")
    assert deploy.after == ("release",)


def test_the_condition_of_an_approval_is_converted() -> None:
    pipeline = pipeline_of(flowyml_pipeline(auto_approve_if=lambda *_: True))
    plan = pipeline.plan(backend="local", cache=False)
    assert plan.approvals == {}
    assert plan.notes[-1].startswith("'auto:release' is decided before the run")


def test_an_approval_at_the_end_is_a_mistake() -> None:
    pipeline = flowyml_pipeline()
    pipeline.steps.pop()
    with pytest.raises(InvalidPipelineError) as caught:
        pipeline_of(pipeline)
    assert "Approval 'release' is not between other steps" in str(caught.value)


def flowyml_step(name: str, *inputs: str) -> Any:
    return flowyml.step(inputs=list(inputs), register=False, name=name)(lambda *values: values)


def graph_waits(pipeline: Any) -> dict[str, set[str]]:
    """Return what each step waits for besides its inputs, as a run builds the pipeline."""
    steps = inline(pipeline_of(pipeline)).steps
    return {each.name: set(each.after) for each in steps}


def test_an_approval_waits_for_a_sub_pipeline_and_all_steps_of_a_later_one_wait_for_it() -> None:
    prepare = flowyml.Pipeline("prepare").add_step(flowyml_step("clean"))
    deploy = flowyml.Pipeline("deploy").add_steps([flowyml_step("push"), flowyml_step("notify")])
    pipeline = flowyml.Pipeline("p").add_sub_pipeline(prepare)
    pipeline.add_step(flowyml_approval()).add_sub_pipeline(deploy)
    assert graph_waits(pipeline) == {
        "sub:prepare/clean": set(),
        "release": {"sub:prepare/clean"},
        "sub:deploy/push": {"release"},
        "sub:deploy/notify": {"release"},
    }


def test_steps_after_a_sub_pipeline_with_an_approval_wait_for_it() -> None:
    inner = flowyml.Pipeline("inner").add_steps(
        [flowyml_step("train"), flowyml_approval(), flowyml_step("push")]
    )
    outer = flowyml.Pipeline("outer").add_sub_pipeline(inner, name="inner")
    pipeline = flowyml.Pipeline("p").add_sub_pipeline(outer, name="outer")
    found = graph_waits(pipeline.add_step(flowyml_step("deploy")))
    assert "outer/inner/release" in found["deploy"]


def test_a_later_sub_pipeline_that_an_earlier_step_needs_does_not_wait() -> None:
    prepare = flowyml.Pipeline("prepare").add_step(flowyml_step("clean"))
    pipeline = flowyml.Pipeline("p").add_step(flowyml_step("train", "clean"))
    pipeline.add_step(flowyml_approval())
    pipeline.add_sub_pipeline(prepare, outputs=["clean"]).add_step(flowyml_step("deploy"))
    found = graph_waits(pipeline)
    assert (found["sub:prepare/clean"], found["deploy"]) == (set(), {"release"})
    assert found["release"] == {"train", "sub:prepare/clean"}


def test_steps_and_functions_of_branches_wait_for_an_approval() -> None:
    def publish() -> None: ...

    pipeline = flowyml_pipeline()
    flow = flowyml.If(lambda model: model > 1, flowyml_step("notify"), publish)
    found = graph_waits(pipeline.add_control_flow(flow))
    assert found["publish"] == found["notify"] == {"release"}


@pytest.mark.system
def test_a_run_of_flowyml_is_approved_or_rejected(local_project: BackendRig) -> None:
    pipeline = flowyml_pipeline()
    orchestrator = FlowymlAws(backend="local", progress=False)
    seen: list[dict[str, str]] = []

    def answer() -> None:
        run_id = eventually(lambda: next(iter(orchestrator._runs), None), "the run")
        assert run_id is not None

        def statuses() -> dict[str, str]:
            found = orchestrator.fetch_step_statuses(run_id)
            return {name: status.value for name, status in found.items()}

        eventually(lambda: statuses()["release"] == "running", "the approval")
        seen.append(statuses())
        orchestrator.reject(run_id, "release", "too slow")

    thread = threading.Thread(target=answer)
    thread.start()
    rejected = pipeline.run(orchestrator=orchestrator)
    thread.join()
    assert seen == [{"train": "completed", "deploy": "initializing", "release": "running"}]
    assert not rejected.success
    outcome = rejected.step_results["release"]
    assert outcome.error.endswith("too slow")
    assert "deploy" not in rejected.step_results
    recorded = pipeline.metadata_store.load_run(rejected.run_id)
    assert recorded["status"] == "failed"
