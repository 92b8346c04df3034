"""Pipelines that are run again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import Pipeline, Run
from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.result import PipelineResult
from tests.support.places import Place

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
class Again:
    """A project with one pipeline, whose file can be edited between runs."""

    place: Place
    text: str = TEXT

    def edit(self, old: str, new: str) -> None:
        assert old in self.text
        self.text = self.text.replace(old, new)

    def pipeline(self, **context: Any) -> Pipeline:
        # Under another name each time: Python keeps modules, and compiled ones by the second.
        number = len(list(self.place.folder.glob("again_*.py")))
        file = self.place.folder / f"again_{number}.py"
        file.write_text(self.text, "utf-8")
        pipeline = load_pipeline(str(file))
        pipeline.context = pipeline.context.inherit(trace=str(self.place.trace), **context)
        return pipeline

    def run(self, **options: Any) -> tuple[PipelineResult, set[str]]:
        """A run, and the steps whose functions were called."""
        before = len(self.place.ran())
        result = self.pipeline().run(progress=False, **options)
        assert result.success, result.summary()
        called = self.place.ran()[before:]
        assert len(called) == len(set(called))
        assert set(called) == {n for n, step in result.step_results.items() if not step.cached}
        return result, set(called)


@pytest.fixture
def again(tmp_path: Path) -> Iterator[Again]:
    place = Place("local", tmp_path / "project")
    with place.entered():
        yield Again(place)


def test_a_second_run_has_no_job_and_the_same_outputs_none_and_falsy_ones_too(
    again: Again,
) -> None:
    first, called = again.run()
    assert called == ALL
    second, called = again.run()
    assert called == set()
    assert second.state == "completed"
    assert second.status.jobs == ()
    assert (second.outputs["score"], second.outputs["report"]) == (0, [])
    assert (first.outputs["score"], first.outputs["report"]) == (0, [])
    attached = Run.attach(second.run_id)
    assert attached.result().success
    assert all(step.cached for step in attached.result().step_results.values())
    assert (attached.outputs["score"], attached.outputs["report"]) == (0, [])


def test_a_changed_function_runs_with_all_that_depends_on_it_and_takes_the_rest(
    again: Again,
) -> None:
    again.run()
    again.edit("    return 0\n", "    return model\n")
    result, called = again.run()
    assert called == {"score"}
    assert (result.outputs["score"], result.outputs["report"]) == (6, [])
    assert [view.job.name for view in result.status.jobs] == ["score"]
    attached = Run.attach(result.run_id)
    assert attached.result().step_results["report"].cached
    assert not attached.result().step_results["score"].cached
    assert attached.outputs["report"] == []


def test_a_changed_constant_runs_what_reads_it_and_all_behind(again: Again) -> None:
    again.run()
    again.edit("FACTOR = 2", "FACTOR = 5  # more")
    result, called = again.run()
    assert called == {"train", "score", "report"}
    assert result.outputs["model"] == 15


def test_a_comment_runs_nothing(again: Again) -> None:
    again.run()
    again.edit("    return 0\n", "    # none yet\n    return 0\n")
    assert again.run()[1] == set()


def test_a_step_that_is_never_cached_runs_alone(again: Again) -> None:
    again.edit('outputs=["score"]', 'outputs=["score"], cache=False')
    again.run()
    assert again.run()[1] == {"score"}


def test_a_step_by_its_input_s_content_is_cut_off_in_its_job(again: Again) -> None:
    again.edit('outputs=["score"]', 'outputs=["score"], cache="input_hash"')
    again.run()
    again.edit("sum(rows) * FACTOR", "FACTOR * sum(rows)")
    result, called = again.run()
    assert called == {"train", "report"}
    assert result.step_results["score"].cached
    assert result.outputs["score"] == 0
    assert Run.attach(result.run_id).outputs["score"] == 0


@pytest.mark.parametrize("place", ["one job", "two jobs"])
def test_the_same_bytes_are_another_input_where_they_stand_for_another_value(
    again: Again, place: str
) -> None:
    """A text, its bytes, and files of two names have the same content."""
    together = ', execution_group="heavy"' if place == "one job" else ""
    again.edit("sum(rows) * FACTOR, None", '"abc", None')
    again.edit('outputs=["score"]', f'outputs=["score"], cache="input_hash"{together}')
    again.edit("    return 0\n", '    return [type(model).__name__, getattr(model, "name", "")]\n')
    again.edit("FACTOR = 2", 'def file(path):\n    path.write_text("abc")\n    return path')
    assert again.run()[0].outputs["score"] == ["str", ""]
    again.edit('"abc", None', 'b"abc", None')
    assert again.run()[0].outputs["score"] == ["bytes", ""]
    again.edit('b"abc", None', 'file(Path("a.csv")), None')
    assert again.run()[0].outputs["score"] == ["PosixPath", "a.csv"]
    again.edit('"a.csv"', '"b.csv"')
    assert again.run()[0].outputs["score"] == ["PosixPath", "b.csv"]


def test_what_is_refreshed_runs_with_all_that_depends_on_it(again: Again) -> None:
    again.run()
    assert again.run(refresh="train")[1] == {"train", "score", "report"}
    assert again.run(refresh=["report"])[1] == {"report"}


def test_without_cache_all_runs_and_serves_later_runs(again: Again) -> None:
    assert again.run(cache=False)[1] == ALL
    assert again.run(cache=False)[1] == ALL
    assert again.run()[1] == set()


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_mistyped_name_to_refresh_is_an_error_that_tells_the_near_one(
    again: Again, verb: str
) -> None:
    with pytest.raises(InvalidPipelineError, match="no step 'trian' to refresh") as told:
        getattr(again.pipeline(), verb)(refresh=["trian"])
    assert "'train'" in told.value.problems[0].fix
    assert again.place.ran() == []


def test_a_group_that_is_there_has_no_job_and_one_that_is_partly_there_asks_for_less(
    again: Again,
) -> None:
    def gpus() -> dict[str, str | None]:
        """The GPU that each job asks for."""
        return {job.name: job.needs.gpu_model for job in again.pipeline().plan().jobs}

    again.edit('outputs=["report"]', 'outputs=["report"], execution_group="heavy"')
    assert gpus() == {"heavy": "t4", "score": None}
    again.run()
    assert gpus() == {}
    again.edit("    return 0\n", "    return 1\n")
    assert gpus() == {"score": None}
    again.edit('["something"]', '["anything"]')
    assert gpus() == {"heavy": None, "score": None}
    result, called = again.run()
    assert called == {"report", "score"}
    heavy, _ = result.status.jobs
    assert (heavy.job.steps, heavy.job.needs.memory_mib) == (("report",), 2048)


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_cache_function_that_fails_is_told_before_anything_runs(again: Again, verb: str) -> None:
    again.edit('outputs=["score"]', 'outputs=["score"], cache=lambda start: 1 // (start - 1)')
    with pytest.raises(InvalidPipelineError, match="'score': its cache function fails") as told:
        getattr(again.pipeline(), verb)()
    assert "ZeroDivisionError" in told.value.problems[0].why
    assert again.place.ran() == []
