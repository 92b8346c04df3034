"""`flowyml-aws doctor --prove`: green on the strict emulator, red for each planted deviation."""

from __future__ import annotations

import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.cli.proving import MAX_COST_USD
from flowyml_aws.doctor.prove import runs as prove_runs
from flowyml_aws.doctor.prove.steps import CHILDREN
from flowyml_aws.testing import Emulator
from flowyml_aws.testing.account import BUCKET, PREFIX
from flowyml_aws.testing.deviations import DEVIATIONS
from flowyml_aws.testing.machines.disks import Disks
from flowyml_aws.testing.machines.image_user import can_switch_user
from tests.cli.conftest import Cli
from tests.support.alerts import create_alerts
from tests.support.queues import make_queue
from tests.support.rigs import BackendRig, eventually, raised_emulator

pytestmark = pytest.mark.contract

SPOT = "flowyml-emulator-spot"
REPORT = Path("flowyml-aws-proof.json")
# The part with the fewest runs that shows each deviation, and the check that finds it.
FOUND_BY = {
    "larger-type": ("batch-spot", "instance type"),
    "price": ("batch-gpu", "price"),
    "ml-read-only": ("sagemaker", "folders"),
    "no-cache-read": ("batch", "cache"),
    "small-shm": ("batch-spot", "shared memory"),
    "small-volume": ("batch-spot", "disk"),
    "no-gpu": ("sagemaker-gpu", "gpu"),
    "metadata-reachable": ("batch-spot", "metadata"),
    "no-retry": ("batch", "retry"),
    "no-alert": ("batch", "alert"),
}
# Facts of machines, which this one imitates only for root.
MOUNTED = ("disk", "shared memory")


@contextmanager
def account(*deviations: str, has_shares: bool = False, **options: Any) -> Iterator[Emulator]:
    """An account with alerts, and with a spot queue whose instances have 2 GiB for jobs.

    Args:
        has_shares: Whether the spot queue has a fair-share scheduling policy.
    """
    with raised_emulator(deviations=deviations, propagation_s=0, **options) as aws:
        disk = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 22}}
        aws.client("ec2").create_launch_template(
            LaunchTemplateName="small", LaunchTemplateData={"BlockDeviceMappings": [disk]}
        )
        batch = aws.client("batch")
        template = {"launchTemplateName": "small"}
        types = ["c6i.large", "m6i.large"]
        policy = None
        if has_shares:
            policy = batch.create_scheduling_policy(name="shares", fairsharePolicy={})["arn"]
        make_queue(batch, SPOT, types, policy=policy, type="SPOT", launchTemplate=template)
        (queue,) = batch.describe_job_queues(jobQueues=[SPOT])["jobQueues"]
        batch.tag_resource(resourceArn=queue["jobQueueArn"], tags={"flowyml-aws:disk-gib": "2"})
        yield aws


@contextmanager
def project(
    aws: Emulator, tmp_path: Path, credentials: Mapping[str, str] | None = None
) -> Iterator[pytest.MonkeyPatch]:
    """A project on the account, as the current folder."""
    settings = {
        **(credentials or aws.environment),
        "FLOWYML_AWS_ACCOUNT": "emulator",
        "FLOWYML_AWS_QUEUES": f"flowyml-emulator-cpu,flowyml-emulator-t4,{SPOT}",
        "FLOWYML_AWS_POLL_S": "0.2",
    }
    if credentials is not None:
        settings.pop("AWS_SESSION_TOKEN", None)
    with BackendRig("batch", tmp_path / "project", settings).entered() as patch:
        yield patch


def rows() -> dict[tuple[str, str], dict[str, str]]:
    """Return the rows of the report, by part and check."""
    report = json.loads(REPORT.read_text("utf-8"))
    return {(row["part"], row["check"]): row for row in report["rows"]}


def names_with(verdict: str) -> set[tuple[str, str]]:
    return {name for name, row in rows().items() if row["verdict"] == verdict}


def left_in(aws: Emulator) -> set[str]:
    """Return the kinds of objects in the store, without the items of the array.

    The items stay: other runs may have the same values.
    """
    listed = aws.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", ())
    kinds = Counter(entry["Key"].split("/")[1] for entry in listed)
    if kinds["artifacts"] <= CHILDREN:
        del kinds["artifacts"]
    return set(kinds)


@contextmanager
def schedules_are_due(aws: Emulator) -> Iterator[None]:
    """Move the account's clock forward by two minutes as soon as a schedule exists."""

    def advance() -> None:
        eventually(
            lambda: any(call.operation == "CreateSchedule" for call in aws.calls), "the schedule"
        )
        aws.client("scheduler").list_schedules(GroupName=PREFIX)  # the request before has ended
        aws.advance(120)

    with ThreadPoolExecutor() as pool:
        advanced = pool.submit(advance)
        yield
        advanced.result()


def test_everything_agrees_on_the_strict_emulator(tmp_path: Path, cli: Cli) -> None:
    with account(has_shares=True) as aws, project(aws, tmp_path, aws.administrator) as patch:
        patch.setenv("FLOWYML_AWS_NOTIFY", "events:default")
        create_alerts(aws)
        with schedules_are_due(aws):
            answer = cli("doctor", "--prove", "--yes", "--gpu", "t4", "--max-cost", "2")
        assert answer.code == 0, answer.out + answer.err
        assert names_with("deviated") == set()
        unchecked = names_with("not checked")
        assert unchecked <= {
            ("sagemaker", "disk"),
            ("batch", "metadata"),
            ("batch-spot", "metadata"),
            ("batch-spot", "price"),  # the catalog has no spot prices of these types
            ("batch-priority", "price"),
            ("batch-shell", "all"),  # the setting `debug_shell` is not set
            ("sagemaker-shell", "all"),
            *(("batch", check) for check in MOUNTED),
            *(("batch-spot", check) for check in MOUNTED),
        }
        assert {part for part, _ in names_with("agreed")} == {
            *("batch", "batch-spot", "sagemaker", "batch-gpu", "sagemaker-gpu", "account"),
            *("batch-priority", "batch-schedule", "sagemaker-data"),
        }
        for part, check in unchecked:  # listed once more at the end, with the reason
            assert f"  {part}, {check}: {rows()[part, check]['reason']}"[:60] in answer.out
        report = json.loads(REPORT.read_text("utf-8"))
        assert report["version"] == 1
        assert report["is_emulated"] is True
        assert report["region"] == "us-east-1"
        for secret in ("123456789012", BUCKET, "arn:"):
            assert secret not in REPORT.read_text("utf-8")
        assert left_in(aws) <= {"code", "payloads"}
        assert aws.client("sqs").list_queues().get("QueueUrls", []) == []
        assert aws.client("sns").list_subscriptions()["Subscriptions"] == []
        assert aws.client("scheduler").list_schedules(GroupName=PREFIX)["Schedules"] == []
        assert aws.failed_invocations == []


def test_each_deviation_has_a_check() -> None:
    assert FOUND_BY.keys() == DEVIATIONS.keys()


def check_found(deviations: Sequence[str], part: str, tmp_path: Path, cli: Cli) -> None:
    """Prove a part of an account with deviations, and check that exactly these are found."""
    note = Disks(tmp_path).note(1)
    planted = [
        name for name in deviations if not (FOUND_BY[name][1] in MOUNTED and "not limited" in note)
    ]
    if not planted:
        pytest.skip(note)
    with account(*planted) as aws, project(aws, tmp_path, aws.administrator):
        create_alerts(aws)
        gpu = ["--gpu", "t4"] if part.endswith("-gpu") else []
        limits = ["--max-cost", "2", "--alert-limit", "1"]
        answer = cli("doctor", "--prove", "--yes", "--only", part, *gpu, *limits)
        expected = {FOUND_BY[name] for name in planted}
        assert names_with("deviated") == expected, answer.out + answer.err
        assert answer.code == 1
        for name in expected:
            assert rows()[name]["reason"]
        assert left_in(aws) <= {"code", "payloads"}


# Parts without GPUs; a proof costs three seconds of CPU time.
@pytest.mark.parametrize("part", ["batch", "batch-spot", "sagemaker"])
def test_all_deviations_of_a_part_are_found_and_nothing_else(
    part: str, tmp_path: Path, cli: Cli
) -> None:
    deviations = [name for name, (found_in, _) in FOUND_BY.items() if found_in == part]
    assert deviations
    check_found(deviations, part, tmp_path, cli)


@pytest.mark.thorough
@pytest.mark.parametrize("deviation", FOUND_BY)
def test_a_planted_deviation_is_found_and_nothing_else(
    deviation: str, tmp_path: Path, cli: Cli
) -> None:
    check_found([deviation], FOUND_BY[deviation][0], tmp_path, cli)


@pytest.mark.skipif(not can_switch_user(), reason="only root can change its user")
def test_the_user_of_the_image_is_kept_from_the_metadata_service(tmp_path: Path, cli: Cli) -> None:
    with account(image_user=10001) as aws, project(aws, tmp_path):
        cli("doctor", "--prove", "--yes", "--only", "batch")
        assert rows()["batch", "metadata"]["verdict"] == "agreed"


def test_a_user_of_the_account_is_told_what_the_check_of_alerts_needs(
    tmp_path: Path, cli: Cli
) -> None:
    with account() as aws, project(aws, tmp_path):
        create_alerts(aws)
        answer = cli("doctor", "--prove", "--yes", "--only", "batch")
        assert answer.code == 0, answer.out + answer.err
        row = rows()["batch", "alert"]
        assert row["verdict"] == "not checked"
        statement = json.loads(row["reason"].partition("add this statement: ")[2])
        assert {"sqs:CreateQueue", "sns:Subscribe"} <= set(statement["Action"])


def test_nothing_runs_without_a_confirmation(tmp_path: Path, cli: Cli) -> None:
    with account() as aws, project(aws, tmp_path) as patch:
        patch.setattr(sys, "stdin", io.StringIO())
        answer = cli("doctor", "--prove")
        assert answer.code == 2
        assert "pass --yes" in answer.err
        price = re.search(r"highest price of these jobs: \$(\S+),", answer.err)
        assert price is not None and 0 < float(price[1]) < MAX_COST_USD
        assert left_in(aws) == set()


def test_a_proof_above_the_limit_is_refused_with_its_price(tmp_path: Path, cli: Cli) -> None:
    with account() as aws, project(aws, tmp_path):
        answer = cli("doctor", "--prove", "--yes", "--only", "batch", "--max-cost", "0.01")
        assert answer.code == 2
        assert "The jobs may cost $0.12, more than $0.01" in answer.err
        assert "--max-cost 0.13" in answer.err
        assert not REPORT.exists()
        assert left_in(aws) == set()


def test_a_mistake_in_the_options_is_reported_before_anything_is_planned(
    tmp_path: Path, cli: Cli
) -> None:
    mistakes = {
        ("--only", "batch-sopt"): "did you mean 'batch-spot'?",
        ("--gpu", "t5"): "did you mean",
        ("--report", "missing/report.json"): "--report",
    }
    with account() as aws, project(aws, tmp_path):
        for arguments, fix in mistakes.items():
            answer = cli("doctor", "--prove", "--yes", *arguments)
            assert answer.code == 2, arguments
            assert fix in answer.err


def test_options_of_a_proof_need_prove(rig: BackendRig, cli: Cli) -> None:
    with rig.entered():
        answer = cli("doctor", "--gpu", "t4", "--max-cost", "2")
        assert answer.code == 2
        assert "--gpu, --max-cost without --prove" in answer.err
        answer = cli("doctor", "--prove", "--run", "latest")
        assert answer.code == 2
        assert "--prove and --run exclude each other" in answer.err


def test_the_emulator_suggests_the_name_of_a_deviation(rig: BackendRig, cli: Cli) -> None:
    answer = cli("emulate", "--deviate", "no-retries")
    assert answer.code == 2
    assert "did you mean 'no-retry'?" in answer.err


def test_there_must_be_an_account(rig: BackendRig, cli: Cli) -> None:
    answer = cli("doctor", "--prove", "--yes")
    assert answer.code == 2
    assert "doctor --prove needs an account" in answer.err


def test_an_interrupt_cancels_the_jobs_and_cleans_up(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance: Callable[..., None] = prove_runs.PartRuns.advance

    def advance_and_interrupt(runs: prove_runs.PartRuns, *arguments: Any) -> None:
        advance(runs, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(prove_runs.PartRuns, "advance", advance_and_interrupt)
    with account() as aws, project(aws, tmp_path):
        answer = cli("doctor", "--prove", "--yes", "--only", "batch-spot")
        assert answer.code == 130
        assert "cancelling the runs" in answer.err
        assert "removed the objects of 1 runs" in answer.err
        assert aws.job_processes() == {}
        assert left_in(aws) <= {"code", "payloads"}
