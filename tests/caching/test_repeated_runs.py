"""Pipelines that are run repeatedly, with and without changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import Pipeline, Run
from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.client.result import PipelineResult
from flowyml_aws.core.errors import InvalidPipelineError
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.contract

TEXT = """
from pathlib import Path

from flowyml_aws import GPUConfig, Pipeline, step

FACTOR = 2


def ran(trace, name):
    with Path(trace).open("a") as file:
        file.write(name + "\\n")


@step(outputs=["rows"], execution_group="heavy", cache="code_hash",
      resources={"cpu": 1, "memory": "1Gi"})
def load(trace, start):
    ran(trace, "load")
    return [start, start + 1]


@step(inputs=["rows"], outputs=["model", "nothing"], execution_group="heavy", cache="code_hash",
      resources={"cpu": 2, "memory": "4Gi", "gpu": GPUConfig("nvidia-t4")})
def train(trace, rows):
    ran(trace, "train")
    return sum(rows) * FACTOR, None


@step(inputs=["model"], outputs=["score"])
def score(trace, model):
    ran(trace, "score")
    return 0


@step(inputs=["nothing"], outputs=["report"])
def report(trace, nothing):
    ran(trace, "report")
    return [] if nothing is None else ["something"]


pipeline = Pipeline("again", context={"start": 1})
pipeline.add_steps([load, train, score, report])
"""
ALL = {"load", "train", "score", "report"}


@dataclass
class CachedProject:
    """A project with one pipeline, whose file can be edited between runs."""

    rig: BackendRig
    text: str = TEXT

    def edit(self, old: str, new: str) -> None:
        assert old in self.text
        self.text = self.text.replace(old, new)

    def pipeline(self, **context: Any) -> Pipeline:
        # A new name each time: Python keeps modules, and detects edits only to the second.
        number = len(list(self.rig.folder.glob("again_*.py")))
        file = self.rig.folder / f"again_{number}.py"
        file.write_text(self.text, "utf-8")
        pipeline = load_pipeline(str(file))
        pipeline.context = pipeline.context.inherit(trace=str(self.rig.trace), **context)
        return pipeline

    def run(self, **options: Any) -> tuple[PipelineResult, set[str]]:
        """Run the pipeline; return the result, and the steps whose functions were called."""
        before = len(self.rig.ran())
        result = self.pipeline().run(progress=False, **options)
        assert result.success, result.summary()
        called = self.rig.ran()[before:]
        assert len(called) == len(set(called))
        assert set(called) == {n for n, step in result.step_results.items() if not step.cached}
        return result, set(called)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[CachedProject]:
    rig = BackendRig("local", tmp_path / "project")
    with rig.entered():
        yield CachedProject(rig)


def test_a_second_run_has_no_jobs_and_the_same_outputs_even_if_falsy(
    project: CachedProject,
) -> None:
    first, called = project.run()
    assert called == ALL
    second, called = project.run()
    assert called == set()
    assert second.state == "succeeded"
    assert second.status.jobs == ()
    assert (second.outputs["score"], second.outputs["report"]) == (0, [])
    assert (first.outputs["score"], first.outputs["report"]) == (0, [])
    attached = Run.attach(second.run_id)
    assert attached.result().success
    assert all(step.cached for step in attached.result().step_results.values())
    assert (attached.outputs["score"], attached.outputs["report"]) == (0, [])


def test_a_changed_step_runs_with_its_descendants_and_other_steps_are_reused(
    project: CachedProject,
) -> None:
    project.run()
    project.edit("    return 0\n", "    return model\n")
    result, called = project.run()
    assert called == {"score"}
    assert (result.outputs["score"], result.outputs["report"]) == (6, [])
    assert [view.job.name for view in result.status.jobs] == ["score"]
    attached = Run.attach(result.run_id)
    assert attached.result().step_results["report"].cached
    assert not attached.result().step_results["score"].cached
    assert attached.outputs["report"] == []


def test_a_changed_constant_runs_its_readers_and_their_descendants(project: CachedProject) -> None:
    project.run()
    project.edit("FACTOR = 2", "FACTOR = 5  # more")
    result, called = project.run()
    assert called == {"train", "score", "report"}
    assert result.outputs["model"] == 15


def test_a_changed_comment_runs_nothing(project: CachedProject) -> None:
    project.run()
    project.edit("    return 0\n", "    # none yet\n    return 0\n")
    assert project.run()[1] == set()


def test_a_step_with_cache_false_runs_alone(project: CachedProject) -> None:
    project.edit('outputs=["score"]', 'outputs=["score"], cache=False')
    project.run()
    assert project.run()[1] == {"score"}


def test_an_input_hash_step_with_unchanged_input_is_reused_in_its_job(
    project: CachedProject,
) -> None:
    project.edit('outputs=["score"]', 'outputs=["score"], cache="input_hash"')
    project.run()
    project.edit("sum(rows) * FACTOR", "FACTOR * sum(rows)")
    result, called = project.run()
    assert called == {"train", "report"}
    assert result.step_results["score"].cached
    assert result.outputs["score"] == 0
    assert Run.attach(result.run_id).outputs["score"] == 0


@pytest.mark.parametrize("layout", ["one job", "two jobs"])
def test_the_same_bytes_of_a_different_value_are_a_different_input(
    project: CachedProject, layout: str
) -> None:
    """A string, its bytes, and files of two names have the same bytes."""
    group = ', execution_group="heavy"' if layout == "one job" else ""
    project.edit("sum(rows) * FACTOR, None", '"abc", None')
    project.edit('outputs=["score"]', f'outputs=["score"], cache="input_hash"{group}')
    project.edit(
        "    return 0\n", '    return [type(model).__name__, getattr(model, "name", "")]\n'
    )
    project.edit("FACTOR = 2", 'def file(path):\n    path.write_text("abc")\n    return path')
    assert project.run()[0].outputs["score"] == ["str", ""]
    project.edit('"abc", None', 'b"abc", None')
    assert project.run()[0].outputs["score"] == ["bytes", ""]
    project.edit('b"abc", None', 'file(Path("a.csv")), None')
    assert project.run()[0].outputs["score"] == ["PosixPath", "a.csv"]
    project.edit('"a.csv"', '"b.csv"')
    assert project.run()[0].outputs["score"] == ["PosixPath", "b.csv"]


def test_refreshed_steps_run_with_their_descendants(project: CachedProject) -> None:
    project.run()
    assert project.run(refresh="train")[1] == {"train", "score", "report"}
    assert project.run(refresh=["report"])[1] == {"report"}


def test_a_run_without_cache_executes_all_steps_and_fills_the_cache(project: CachedProject) -> None:
    assert project.run(cache=False)[1] == ALL
    assert project.run(cache=False)[1] == ALL
    assert project.run()[1] == set()


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_an_unknown_name_to_refresh_is_an_error_with_a_suggestion(
    project: CachedProject, verb: str
) -> None:
    with pytest.raises(InvalidPipelineError, match="No step 'trian' to refresh") as caught:
        getattr(project.pipeline(), verb)(refresh=["trian"])
    assert "'train'" in caught.value.problems[0].fix
    assert project.rig.ran() == []


def test_a_cached_group_has_no_job_and_a_partly_cached_group_needs_less(
    project: CachedProject,
) -> None:
    def gpus() -> dict[str, str | None]:
        """Return the GPU model of each planned job."""
        return {job.name: job.needs.gpu_model for job in project.pipeline().plan().jobs}

    project.edit('outputs=["report"]', 'outputs=["report"], execution_group="heavy"')
    assert gpus() == {"heavy": "t4", "score": None}
    project.run()
    assert gpus() == {}
    project.edit("    return 0\n", "    return 1\n")
    assert gpus() == {"score": None}
    project.edit('["something"]', '["anything"]')
    assert gpus() == {"heavy": None, "score": None}
    result, called = project.run()
    assert called == {"report", "score"}
    heavy, _ = result.status.jobs
    assert (heavy.job.steps, heavy.job.needs.memory_mib) == (("report",), 2048)


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_failing_cache_function_is_reported_before_anything_runs(
    project: CachedProject, verb: str
) -> None:
    project.edit('outputs=["score"]', 'outputs=["score"], cache=lambda start: 1 // (start - 1)')
    with pytest.raises(InvalidPipelineError, match="'score': the cache function failed") as caught:
        getattr(project.pipeline(), verb)()
    assert "ZeroDivisionError" in caught.value.problems[0].why
    assert project.rig.ran() == []


def test_steps_run_again_if_the_variables_of_their_job_change(project: CachedProject) -> None:
    project.run()
    _, called = project.run(env={"LEVEL": "1"})
    assert called == ALL
    assert project.run(env={"LEVEL": "1"})[1] == set()
    result, called = project.run(env={"LEVEL": "2"})
    assert called == ALL
    reason = "\n".join(Run.attach(result.run_id).why("load").lines())
    assert "environment variable LEVEL changed" in reason
    assert project.run()[1] == set()


def test_the_variables_of_a_step_count_for_its_group_and_its_descendants(
    project: CachedProject,
) -> None:
    project.run()
    project.edit('@step(inputs=["rows"], ', '@step(inputs=["rows"], env={"LEVEL": "1"}, ')
    # They run in one job, so both steps of the group have the variable.
    assert project.run()[1] == ALL
    assert project.run()[1] == set()
    project.edit('@step(inputs=["model"], ', '@step(inputs=["model"], env={"LEVEL": "1"}, ')
    assert project.run()[1] == {"score"}
