from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from flowyml_aws.core.errors import AwsRefusedError, RunNotFoundError
from flowyml_aws.planning.placement import Placement
from flowyml_aws.services.account import Account
from flowyml_aws.services.connect import connect, connect_to_plan, find_run, stores
from flowyml_aws.services.local.service import LocalHost
from flowyml_aws.settings import Settings
from flowyml_aws.target_settings import TargetSettings
from tests.support.rigs import BackendRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BackendRig]:
    rig = BackendRig("local", tmp_path / "project")
    with rig.entered():
        yield rig


def test_services_of_one_run_share_a_host(tmp_path: Path) -> None:
    local = connect(Placement.of("local"), Settings(local_store="runs"), tmp_path)
    assert isinstance(local.host, LocalHost)
    assert local.host.store.uri == f"file://{tmp_path}/runs"
    for spec in ("batch", "sagemaker", {"training": "sagemaker", "*": "batch"}):
        placement = Placement.of(spec)
        services = connect(placement, Settings(), tmp_path)
        assert isinstance(services.host, Account)
        assert tuple(services.services) == placement.backends


def test_stores_are_those_that_are_set_up(tmp_path: Path) -> None:
    assert stores(Settings(), tmp_path) == {}
    (tmp_path / ".flowyml" / "aws").mkdir(parents=True)
    settings = Settings(store="s3://bucket/prefix", region="us-east-1")
    found = {backend: store.uri for backend, store in stores(settings, tmp_path).items()}
    assert found == {
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
def test_a_run_is_found_from_a_folder_of_the_project(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = rig.pipeline("noisy").run(progress=False)
    Path("inside/deep").mkdir(parents=True)
    monkeypatch.chdir("inside/deep")
    assert find_run(result.run_id).record.pipeline == "noisy"


@pytest.mark.contract
def test_a_run_that_is_nowhere_is_an_error_that_tells_where_it_was_looked_for(
    rig: BackendRig,
) -> None:
    with pytest.raises(RunNotFoundError, match="no store is set up"):
        find_run("x-20261122-150531-3f9a1c")
    rig.pipeline("noisy").run(progress=False)
    with pytest.raises(RunNotFoundError, match=r"looked in file:///.*/\.flowyml"):
        find_run("x-20261122-150531-3f9a1c")


@pytest.mark.parametrize("backend", ["batch", "sagemaker"])
def test_a_plan_without_an_account_is_made_with_all_that_aws_offers(
    tmp_path: Path, backend: str
) -> None:
    place = connect_to_plan(Placement.of(backend), Settings(), tmp_path)
    (target,) = place.targets()
    assert len(target.instance_types) > 100
    assert "no account is set up" in place.host.notes(date(2026, 8, 1))[0]


def test_configured_targets_are_planned_with_where_there_is_no_account(tmp_path: Path) -> None:
    told = TargetSettings(
        "gpus",
        instance_types=("g4dn", "p3.8xlarge", "unknown.large"),
        labels={"pool": "gpu"},
        max_vcpus=16,
    )
    place = connect_to_plan(Placement.of("batch"), Settings(targets=(told,)), tmp_path)
    (target,) = place.targets()
    assert (target.name, target.placed_by, target.labels) == ("gpus", "queue", {"pool": "gpu"})
    assert "g4dn.4xlarge" in target.instance_types
    assert "unknown.large" in target.instance_types
    assert target.closed["g4dn.8xlarge"] == "it has 32 vCPUs, the target allows 16 in all"
    assert "the configured targets" in place.host.notes(date(2026, 8, 1))[0]


def test_a_target_of_another_kind_is_not_planned_with(tmp_path: Path) -> None:
    told = TargetSettings("s", kind="sagemaker", instance_types=("ml.m5.large",))
    settings = Settings(targets=(told,))
    (target,) = connect_to_plan(Placement.of("sagemaker"), settings, tmp_path).targets()
    assert (target.instance_types, target.placed_by) == (("ml.m5.large",), "plan")
    (everything,) = connect_to_plan(Placement.of("batch"), settings, tmp_path).targets()
    assert everything.name == "catalog"


def test_on_this_machine_there_are_neither_problems_nor_targets(tmp_path: Path) -> None:
    place = connect(Placement.of("local"), Settings(), tmp_path)
    assert (place.problems(), list(place.targets())) == ([], [])


def test_without_credentials_the_only_problem_is_that() -> None:
    settings = Settings(store="s3://bucket/prefix", image="image", region="us-east-1")
    place = connect(Placement.of("batch"), settings, Path())
    (problem,) = place.problems()
    assert isinstance(problem, AwsRefusedError)
    with pytest.raises(AwsRefusedError) as caught:
        place.targets()
    assert str(caught.value) == str(problem)


def test_missing_settings_come_beside_what_is_wrong_with_the_account() -> None:
    services = connect(Placement.of("batch"), Settings(region="us-east-1"), Path())
    problems = services.problems()
    missing = [problem.what for problem in problems if "is missing" in problem.what]
    assert missing == ["Setting `store` is missing", "Setting `image` is missing"]
    assert len(problems) == 3
