from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from flowyml_aws import Pipeline, step
from flowyml_aws.artifacts.content import Parts
from flowyml_aws.artifacts.layout import bundle_key
from flowyml_aws.artifacts.values import save_value
from flowyml_aws.caching.lookup import find_reuse
from flowyml_aws.caching.run_keys import RunKeys
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.errors import RunNotFoundError, SettingsError
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.step_grouping import group_steps
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.packaging.bundle import SourceBundle
from flowyml_aws.packaging.code import RunCode
from flowyml_aws.packaging.payload import StepPayload
from flowyml_aws.packaging.project import Project
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.runtime.argument import SpecArgument
from flowyml_aws.runtime.code import fetch
from flowyml_aws.runtime.spec import JobSpec
from flowyml_aws.runtime.specs import read_spec_at
from flowyml_aws.submission.package import RunPackage, job_specs, write_package, write_record
from flowyml_aws.submission.record import read_plan, read_record

RUN = "p-20261122-150531-3f9a1c"


@step(outputs=["raw", "extra"], execution_group="prepare", retry=2, retry_delay=3)
def load(seed: int) -> tuple[int, int]:
    return seed, 0


@step(inputs=["raw"], outputs=["clean"], execution_group="prepare", timeout=5)
def clean(raw: int) -> int:
    return raw


@step(inputs=["clean", "seed"], outputs=["model"])
def train(clean: int, seed: int) -> int:
    return clean + seed


@pytest.fixture
def store(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path / "store")


@pytest.fixture
def planned() -> tuple[ExecutionPlan, StepGraph]:
    steps = Pipeline("p").add_steps([load, clean, train]).steps
    graph, problems = read_graph(steps, ["seed"])
    assert graph is not None and not problems
    groups = group_steps(graph.steps)
    return make_plan("p", Placement("local"), graph, groups, (), load_catalog()), graph


@pytest.fixture
def package(
    store: DirectoryArtifactStore, planned: tuple[ExecutionPlan, StepGraph], tmp_path: Path
) -> RunPackage:
    data = b"packed files"
    plan, _ = planned
    project = Project(tmp_path, tmp_path / "notebooks", (tmp_path / "lib",))
    return RunPackage(
        code=RunCode(
            project=project,
            bundle=SourceBundle(data, hashlib.sha256(data).hexdigest(), 100, 1),
            program=project.program(in_place=False),
            in_place=False,
        ),
        payloads={job.name: StepPayload(job.name.encode()) for job in plan.jobs},
        external_inputs={"seed": save_value(store, "seed", 5)},
    )


def specs_of(
    planned: tuple[ExecutionPlan, StepGraph], package: RunPackage, store: DirectoryArtifactStore
) -> dict[str, JobSpec]:
    plan, graph = planned
    reuse = find_reuse(None, graph, {}, {}, ())
    return {spec.job: spec for spec in job_specs(plan, graph, package.facts, reuse, RUN, store.uri)}


def test_a_spec_has_the_steps_of_its_job_in_execution_order(
    planned: tuple[ExecutionPlan, StepGraph], package: RunPackage, store: DirectoryArtifactStore
) -> None:
    specs = specs_of(planned, package, store)
    assert list(specs) == ["prepare", "train"]
    first, second = specs["prepare"].steps
    assert (first.name, first.outputs, first.retry, first.retry_delay_s) == (
        "load",
        ("raw", "extra"),
        2,
        3,
    )
    assert (second.name, second.reads, second.timeout_s) == ("clean", ("raw",), 5)


def test_a_spec_names_the_source_of_each_asset_from_outside_the_job(
    planned: tuple[ExecutionPlan, StepGraph], package: RunPackage, store: DirectoryArtifactStore
) -> None:
    assets = specs_of(planned, package, store)["train"].assets
    assert assets["clean"].job == "prepare" and assets["clean"].ref is None
    assert assets["seed"].job is None and assets["seed"].ref == package.external_inputs["seed"]


def test_an_asset_is_stored_if_another_job_or_no_step_reads_it(
    planned: tuple[ExecutionPlan, StepGraph], package: RunPackage, store: DirectoryArtifactStore
) -> None:
    stored = {
        s.name: s.stored for spec in specs_of(planned, package, store).values() for s in spec.steps
    }
    assert stored == {"load": ("extra",), "clean": ("clean",), "train": ("model",)}


def test_paths_are_relative_to_the_bundle(
    planned: tuple[ExecutionPlan, StepGraph], package: RunPackage, store: DirectoryArtifactStore
) -> None:
    code = specs_of(planned, package, store)["train"].code
    assert code.bundle.sha256 == package.code.bundle.sha256
    assert "lib" in code.program.paths and code.program.folder == "notebooks"


def test_a_written_run_contains_everything_that_its_jobs_read(
    planned: tuple[ExecutionPlan, StepGraph], package: RunPackage, store: DirectoryArtifactStore
) -> None:
    plan, _ = planned
    specs = specs_of(planned, package, store)
    places = write_package(store, package, specs.values(), RunKeys(forced=(), steps={}), RUN)
    record = write_record(store, plan, places, RUN, now=5.0)
    assert read_record(store, RUN) == record
    assert read_plan(store, RUN) == plan
    bundle = package.code.bundle
    assert store.get(bundle_key(bundle.sha256)) == bundle.data
    for job, payload in package.payloads.items():
        assert fetch(store, specs[job].payload) == payload.data
        assert (
            read_spec_at(store, SpecArgument.parse(record.spec_argument(job, store.uri)))
            == specs[job]
        )


def test_a_content_that_cant_be_stored_is_an_error(
    planned: tuple[ExecutionPlan, StepGraph], package: RunPackage, tmp_path: Path
) -> None:
    class Full(DirectoryArtifactStore):
        def upload(self, key: str, content: Parts) -> None:
            raise SettingsError("no space left", "the disk is full", "remove something")

    store = Full(tmp_path / "full")
    specs = specs_of(planned, package, store)
    with pytest.raises(SettingsError, match="no space left"):
        write_package(store, package, specs.values(), RunKeys(forced=(), steps={}), RUN)


def test_a_run_does_not_exist_until_its_record_is_written(
    planned: tuple[ExecutionPlan, StepGraph], package: RunPackage, store: DirectoryArtifactStore
) -> None:
    specs = specs_of(planned, package, store)
    write_package(store, package, specs.values(), RunKeys(forced=(), steps={}), RUN)
    with pytest.raises(RunNotFoundError):
        read_record(store, RUN)
