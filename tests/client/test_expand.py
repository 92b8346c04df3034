from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import Pipeline, dynamic, step
from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.client.expand import expand
from flowyml_aws.core.errors import FlowymlError, InvalidPipelineError, InvalidStepError
from flowyml_aws.planning.expansion_facts import CatalogFacts, ExpansionFacts
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.payload import Payload
from flowyml_aws.runtime.spec import Expanding, StoredObject
from flowyml_aws.submission.expansion import Expansion
from flowyml_aws.submission.record import sub_run_id
from tests.runtime.harness import RUN, WrittenRun


@dynamic(outputs=["model"], max_depth=2)
def search() -> None: ...


@step(outputs=["score"])
def train(rates: int) -> int:
    return rates


@step(inputs=["score"], outputs=["model"])
def best(score: list[int]) -> int:
    return max(score)


@step(inputs=["model"], outputs=["page"])
def show(model: int) -> int:
    return model


class Job:
    """The job of the dynamic step `search`."""

    def __init__(self, folder: Path, **facts: Any) -> None:
        run = WrittenRun(folder, search)
        self.store = run.store
        members = {"rest": "local", "targets": (), "catalog": CatalogFacts.of(load_catalog())}
        content = Content(ExpansionFacts(**{**members, **facts}).to_json())
        run.store.upload("payloads/facts", content)
        self.facts = StoredObject(
            key="payloads/facts", sha256=content.sha256, size_bytes=content.size_bytes
        )
        self.spec = run.spec()

    def expand(
        self, pipeline: Pipeline, chain: tuple[str, ...] = (), levels: int | None = None
    ) -> Expansion:
        expanding = Expanding(facts=self.facts, chain=chain, levels=levels)
        spec = self.spec.model_copy(update={"expanding": expanding})
        attempt = Attempt.begin(spec, self.store, 1)
        data = expand(pipeline, attempt, spec.steps[0], Payload({"search": search}, {}))
        return read_document(Expansion, data, "expansion.json")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def searching() -> Pipeline:
    return Pipeline("sub", {"rates": [1, 2]}).add_steps([train.map(over="rates"), best])


def problems(job: Job, pipeline: Pipeline) -> list[FlowymlError]:
    with pytest.raises(InvalidPipelineError) as raised:
        job.expand(pipeline)
    return list(raised.value.problems)


def test_a_pipeline_is_planned_as_a_run_of_its_own(job: Job) -> None:
    expansion = job.expand(searching())
    run_id = sub_run_id(RUN, "sub", "search", 0)
    assert expansion.run_id == run_id
    assert [each.name for each in expansion.plan.plan.jobs] == ["train-0", "train-1", "best"]
    assert {spec.run_id for spec in expansion.specs} == {run_id}
    assert expansion.outputs == {"model": "model"}
    assert expansion.depth == 1


def test_its_jobs_read_the_code_of_the_run_and_payloads_that_a_job_may_write(job: Job) -> None:
    for spec in job.expand(searching()).specs:
        assert spec.code == job.spec.code
        assert spec.payload.key.startswith("artifacts/")


def test_an_output_that_another_step_reads_is_stored(job: Job) -> None:
    expansion = job.expand(searching().add_step(show))
    stored = {asset for each in expansion.plan.plan.jobs for asset in each.stored}
    assert {"model", "page"} <= stored


def test_variables_of_the_run_are_those_of_the_pipeline(tmp_path: Path) -> None:
    job = Job(tmp_path, environment={"A": "run", "B": "run"})
    pipeline = Pipeline("sub", {"rates": [1]}, env={"B": "own"})
    expansion = job.expand(pipeline.add_steps([train.map(over="rates"), best]))
    assert expansion.plan.plan.jobs[0].environment == {"A": "run", "B": "own"}


def test_all_mistakes_of_a_pipeline_are_reported(job: Job) -> None:
    found = problems(job, Pipeline("sub").add_steps([show, train]))
    text = "\n".join(problem.what for problem in found)
    assert "'show' reads 'model', which no step produces" in text


def test_an_output_that_the_pipeline_does_not_have_is_a_mistake(job: Job) -> None:
    (problem,) = problems(job, Pipeline("sub", {"rates": 1}).add_step(train))
    assert problem.what == ("No step of 'sub' produces 'model', an output of dynamic step 'search'")
    assert problem.why == "the assets of the pipeline are score"


def test_the_list_of_a_map_can_not_be_an_output(job: Job) -> None:
    @step(outputs=["model"])
    def fit(rates: int) -> int:
        return rates

    (problem,) = problems(job, Pipeline("sub", {"rates": [1]}).add_step(fit.map(over="rates")))
    assert problem.what == "Output 'model' of dynamic step 'search' is the list of a map"


def test_a_parameter_without_a_value_is_a_mistake(job: Job) -> None:
    found = problems(job, Pipeline("sub").add_steps([train, best]))
    assert any("rates" in problem.what for problem in found)


@pytest.mark.parametrize("levels", [None, 1, 5])
def test_steps_of_a_pipeline_may_return_pipelines_up_to_the_depth(
    job: Job, levels: int | None
) -> None:
    @dynamic(outputs=["model"])
    def deeper() -> None: ...

    (spec,) = job.expand(Pipeline("sub").add_step(deeper), ("outer",), levels).specs
    assert spec.expanding is not None
    assert spec.expanding.chain == ("outer", "search")
    assert spec.expanding.levels == (1 if levels is None else min(levels, 2) - 1)


def test_a_pipeline_that_is_too_deep_is_refused_with_the_chain_of_steps(job: Job) -> None:
    with pytest.raises(InvalidStepError) as raised:
        job.expand(searching(), ("outer", "middle"), 0)
    assert raised.value.what == ("Too many pipelines inside one another: outer → middle → search")
