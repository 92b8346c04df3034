from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.core.errors import AwsRefusedError, RunNotFoundError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.services.account import Account
from flowyml_aws.services.connect import (
    connect,
    connect_to_plan,
    find_run,
    locate_run,
    stores,
)
from flowyml_aws.services.local.service import LocalHost
from flowyml_aws.settings.model import Settings
from flowyml_aws.settings.targets import TargetSettings
from tests.support.plans import a_job, a_plan, a_record
from tests.support.rigs import BackendRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BackendRig]:
    rig = BackendRig("local", tmp_path / "project")
    with rig.entered():
        yield rig


def test_services_of_a_run_share_a_host(tmp_path: Path) -> None:
    local = connect(Placement.of("local"), Settings(local_store="runs"), tmp_path)
    assert isinstance(local.host, LocalHost)
    assert local.host.store.uri == f"file://{tmp_path}/runs"
    for spec in ("batch", "sagemaker", {"training": "sagemaker", "*": "batch"}):
        placement = Placement.of(spec)
        services = connect(placement, Settings(), tmp_path)
        assert isinstance(services.host, Account)
        assert tuple(services.services) == placement.backends


def test_stores_contain_only_those_that_are_set_up(tmp_path: Path) -> None:
    assert stores(Settings(), tmp_path) == {}
    (tmp_path / ".flowyml" / "aws").mkdir(parents=True)
    settings = Settings(store="s3://bucket/prefix", region="us-east-1")
    uris = {backend: store.uri for backend, store in stores(settings, tmp_path).items()}
    assert uris == {
        "local": f"file://{tmp_path}/.flowyml/aws",
        "batch": "s3://bucket/prefix",
        "sagemaker": "s3://bucket/prefix",
    }


@pytest.mark.contract
def test_a_run_is_found_in_a_store_outside_the_project(
    rig: BackendRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_LOCAL_STORE", str(tmp_path / "elsewhere"))
    run = rig.pipeline("noisy").submit()
    assert find_run(run.id).store.uri == f"file://{tmp_path}/elsewhere"
    assert not Path(".flowyml").exists()
    run.wait()


@pytest.mark.contract
def test_a_run_is_found_from_a_subfolder_of_the_project(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = rig.pipeline("noisy").run(progress=False)
    Path("inside/deep").mkdir(parents=True)
    monkeypatch.chdir("inside/deep")
    assert find_run(result.run_id).record.pipeline == "noisy"


@pytest.mark.contract
def test_an_unknown_run_is_an_error_that_names_the_searched_stores(
    rig: BackendRig,
) -> None:
    with pytest.raises(RunNotFoundError, match="no store is set up"):
        find_run("x-20261122-150531-3f9a1c")
    rig.pipeline("noisy").run(progress=False)
    with pytest.raises(RunNotFoundError, match=r"searched file:///.*/\.flowyml"):
        find_run("x-20261122-150531-3f9a1c")


@pytest.mark.parametrize("backend", ["batch", "sagemaker"])
def test_a_plan_without_an_account_can_use_every_type_that_aws_offers(
    tmp_path: Path, backend: str
) -> None:
    services = connect_to_plan(Placement.of(backend), Settings(), tmp_path)
    (target,) = services.targets()
    assert len(target.instance_types) > 100
    assert "no account is set up" in services.host.notes(date(2026, 8, 1))[0]


def test_a_plan_without_an_account_uses_the_configured_targets(tmp_path: Path) -> None:
    configured = TargetSettings(
        "gpus",
        instance_types=("g4dn", "p3.8xlarge", "unknown.large"),
        labels={"pool": "gpu"},
        max_vcpus=16,
    )
    settings = Settings(targets=(configured,))
    services = connect_to_plan(Placement.of("batch"), settings, tmp_path)
    (target,) = services.targets()
    assert (target.name, target.placed_by, target.labels) == ("gpus", "queue", {"pool": "gpu"})
    assert "g4dn.4xlarge" in target.instance_types
    assert "unknown.large" in target.instance_types
    assert target.closed["g4dn.8xlarge"] == "it has 32 vCPUs, the target allows 16 in all"
    assert "the configured targets" in services.host.notes(date(2026, 8, 1))[0]


def test_a_plan_does_not_use_targets_of_another_service(tmp_path: Path) -> None:
    configured = TargetSettings("s", kind="sagemaker", instance_types=("ml.m5.large",))
    settings = Settings(targets=(configured,))
    (target,) = connect_to_plan(Placement.of("sagemaker"), settings, tmp_path).targets()
    assert (target.instance_types, target.placed_by) == (("ml.m5.large",), "plan")
    (all_types,) = connect_to_plan(Placement.of("batch"), settings, tmp_path).targets()
    assert all_types.name == "catalog"


def test_this_machine_has_neither_problems_nor_targets(tmp_path: Path) -> None:
    services = connect(Placement.of("local"), Settings(), tmp_path)
    assert (services.problems(), list(services.targets())) == ([], [])


def test_missing_credentials_are_the_only_problem() -> None:
    settings = Settings(store="s3://bucket/prefix", image="image", region="us-east-1")
    services = connect(Placement.of("batch"), settings, Path())
    (problem,) = services.problems()
    assert isinstance(problem, AwsRefusedError)
    with pytest.raises(AwsRefusedError) as caught:
        services.targets()
    assert str(caught.value) == str(problem)


def test_missing_settings_are_reported_with_the_problems_of_the_account() -> None:
    services = connect(Placement.of("batch"), Settings(region="us-east-1"), Path())
    problems = services.problems()
    missing = [problem.what for problem in problems if "is missing" in problem.what]
    assert missing == ["Setting `store` is missing", "Setting `image` is missing"]
    assert len(problems) == 3


@pytest.mark.contract
def test_a_run_is_found_by_a_prefix_and_as_the_latest(rig: BackendRig) -> None:
    first = rig.pipeline("noisy").run(progress=False).run_id
    second = rig.pipeline("kinds").run(progress=False).run_id
    # The client of this run died before it wrote the record.
    Path(".flowyml/aws/runs/noisy-29991122-150531-3f9a1c").mkdir()
    for name, expected in {
        first[:-2]: first,
        "kinds": second,
        "latest": second,
        "latest:noisy": first,
        "latest:kinds": second,
    }.items():
        assert find_run(name).record.run_id == expected
    with pytest.raises(RunNotFoundError, match="2 runs start with 'noisy-2'"):
        find_run("noisy-2")


@pytest.mark.contract
def test_the_latest_run_is_of_the_pipeline_that_was_named(rig: BackendRig) -> None:
    """Two names can have the same start of their ids."""
    pipeline = rig.pipeline("noisy")
    pipeline.name = "a b"
    run_id = pipeline.run(progress=False).run_id
    pipeline.name = "a-b"
    other = pipeline.run(progress=False).run_id
    assert find_run("latest:a b").record.run_id == run_id
    assert find_run("latest:a-b").record.run_id == other


@pytest.mark.contract
def test_the_latest_of_two_runs_of_one_second_is_the_one_that_was_created_last(
    rig: BackendRig,
) -> None:
    store = DirectoryArtifactStore(rig.folder / ".flowyml" / "aws")
    plan = a_plan(a_job("load"), backend="local")
    for digits, created_at in (("ffffff", 10.25), ("000000", 10.75)):
        run_id = f"my-pipeline-20261122-150531-{digits}"
        record = a_record(plan).model_copy(update={"run_id": run_id, "created_at": created_at})
        layout = RunLayout(run_id)
        store.put(layout.plan, StoredPlan.of(plan).to_json())
        store.put(layout.run, record.to_json())
    assert locate_run("latest").record.run_id.endswith("-000000")
