"""`flowyml-aws doctor`: each finding once, with the text that users read."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import Run
from flowyml_aws.aws.registry import DOCKER_MANIFEST
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.submission.status import RunStatus
from flowyml_aws.testing import Capacity, Emulator
from tests.cli.conftest import Answer, Cli
from tests.support.queues import keep_first_environment
from tests.support.refusing import refusing
from tests.support.rigs import BackendRig, eventually, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("cli-doctor")]

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
READS = re.compile(r"(Get|BatchGet|Describe|List|Head)[A-Z]")


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """An account whose jobs never get an instance."""
    with raised_emulator(capacity=Capacity(vcpus=0, memory_mib=0), propagation_s=0) as aws:
        batch = aws.client("batch")
        keep_first_environment(batch, "flowyml-emulator-t4")
        batch.update_compute_environment(
            computeEnvironment="flowyml-emulator-t4",
            computeResources={"instanceTypes": ["g4dn.xlarge", "g4dn.8xlarge"]},
        )
        yield aws


@pytest.fixture
def account(aws: Emulator, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """A project on the account, with two queues; the account is restored after each test."""
    settings = {
        **aws.environment,
        "FLOWYML_AWS_QUEUES": "flowyml-emulator-cpu,flowyml-emulator-t4",
        "FLOWYML_AWS_POLL_S": "0.2",
    }
    with BackendRig("batch", tmp_path / "project", settings).entered() as patch:
        yield patch
    batch = aws.client("batch")
    for name in ("flowyml-emulator-cpu", "flowyml-emulator-t4"):
        aws.faults.invalidate(name, None)
        batch.update_job_queue(jobQueue=name, state="ENABLED")
        batch.update_compute_environment(
            computeEnvironment=name, state="ENABLED", computeResources={"maxvCpus": 4096}
        )
    aws.set_vcpu_quota("L-DB2E81BA", 4096)
    aws.faults.clock_skew_s = 0


def findings(answer: Answer) -> dict[str, str]:
    """Return the codes of the findings with their levels, without those that need no action."""
    facts = answer.facts
    assert facts["version"] == 1
    for finding in facts["findings"]:
        assert set(finding) == {"check", "code", "level", "what", "why", "fix"}
        assert finding["level"] in ("ok", "note", "warning", "error", "not checked")
        if finding["level"] in ("warning", "error"):
            assert finding["why"] and finding["fix"]
    has_error = any(finding["level"] == "error" for finding in facts["findings"])
    assert facts["ok"] is not has_error
    assert answer.code == (1 if has_error else 0)
    return {
        finding["code"]: finding["level"]
        for finding in facts["findings"]
        if finding["level"] != "ok" and finding["code"] not in ("catalog-old", "image-elsewhere")
    }


def full_text(finding: dict[str, str]) -> str:
    return f"{finding['what']}\n{finding['why']}\n{finding['fix']}"


def test_a_project_without_an_account_has_no_problems_and_a_note_on_the_next_step(
    rig: BackendRig, cli: Cli
) -> None:
    answer = cli("doctor")
    assert answer.code == 0
    assert "✓ machine: Python " in answer.out
    assert "· account: No AWS account is set up: pipelines run on this machine only" in answer.out
    assert "flowyml-aws emulate" in answer.out
    assert "No problems found." in answer.out


def test_invalid_settings_are_reported_and_nothing_else_is_checked(
    rig: BackendRig, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_STOER", "s3://b/p")
    answer = cli("doctor")
    assert answer.code == 1
    assert "✗ settings: error: Unknown setting 'stoer'" in answer.out
    assert "did you mean 'store'?" in answer.out


def test_a_local_store_that_can_not_be_written_is_an_error(rig: BackendRig, cli: Cli) -> None:
    Path(".flowyml").write_text("a file instead of a folder")
    answer = cli("doctor")
    assert answer.code == 1
    assert "local store: error: Can't store local runs in" in answer.out


def test_an_account_without_problems(aws: Emulator, account: object, cli: Cli) -> None:
    aws.calls.clear()
    answer = cli("doctor")
    assert answer.code == 0, answer.out
    for text in (
        "✓ credentials: arn:aws:sts::123456789012:assumed-role/flowyml-emulator-user/emulator "
        "(account 123456789012; from env)",
        "✓ clock: This machine's clock agrees with AWS's",
        "✓ region: The region is us-east-1",
        "✓ bucket: Bucket 'flowyml-emulator-123456789012-us-east-1' is in us-east-1",
        "✓ storage: Objects can be written to and read from "
        "'flowyml-emulator-123456789012-us-east-1'",
        "✓ storage: Objects are encrypted (AES256)",
        "✓ queues: Queue 'flowyml-emulator-t4' accepts jobs: 1 compute environment",
        "✓ compute environments: Compute environment 'flowyml-emulator-t4': "
        "2 instance types on demand, up to 4096 vCPUs",
        "✓ quotas: Quota 'Running On-Demand G and VT instances': 4096 vCPUs",
        "✓ roles: Jobs can use role 'flowyml-emulator-job' (job_role)",
        "· image: Image 'flowyml-aws/emulator:latest' is not in ECR and was not checked",
    ):
        assert text in answer.out


def test_doctor_only_reads_except_for_one_object_that_it_deletes(
    aws: Emulator, account: object, cli: Cli
) -> None:
    store = aws.environment["FLOWYML_AWS_STORE"].removeprefix("s3://").partition("/")
    before = aws.client("s3").list_objects_v2(Bucket=store[0])["KeyCount"]
    aws.calls.clear()
    cli("doctor")
    calls = Counter(call.operation for call in aws.calls)
    writes = {call for call in aws.calls if not READS.match(call.operation)}
    assert {call.operation for call in writes} == {"PutObject", "DeleteObject"}
    assert all(call.resource.startswith(f"{store[0]}/{store[2]}/") for call in writes)
    assert (calls["PutObject"], calls["DeleteObject"]) == (1, 1)
    assert aws.client("s3").list_objects_v2(Bucket=store[0])["KeyCount"] == before


def disable_queue(aws: Emulator, patch: pytest.MonkeyPatch) -> None:
    aws.client("batch").update_job_queue(jobQueue="flowyml-emulator-t4", state="DISABLED")


def disable_environment(aws: Emulator, patch: pytest.MonkeyPatch) -> None:
    aws.client("batch").update_compute_environment(
        computeEnvironment="flowyml-emulator-t4", state="DISABLED"
    )


def break_environment(aws: Emulator, patch: pytest.MonkeyPatch) -> None:
    aws.faults.invalidate("flowyml-emulator-t4", "CLIENT_ERROR - no such subnet")


def lower_maximum(aws: Emulator, patch: pytest.MonkeyPatch) -> None:
    aws.client("batch").update_compute_environment(
        computeEnvironment="flowyml-emulator-t4", computeResources={"maxvCpus": 2}
    )


def set_quota(vcpus: int) -> Callable[[Emulator, pytest.MonkeyPatch], None]:
    return lambda aws, patch: aws.set_vcpu_quota("L-DB2E81BA", vcpus)


def set_clock(skew_s: float) -> Callable[[Emulator, pytest.MonkeyPatch], None]:
    return lambda aws, patch: setattr(aws.faults, "clock_skew_s", skew_s)


def set_variable(name: str, value: str) -> Callable[[Emulator, pytest.MonkeyPatch], None]:
    return lambda aws, patch: patch.setenv(name, value)


def unset_variables(*names: str) -> Callable[[Emulator, pytest.MonkeyPatch], None]:
    def unset(aws: Emulator, patch: pytest.MonkeyPatch) -> None:
        for name in names:
            patch.delenv(name)

    return unset


def as_administrator(
    break_setup: Callable[[Emulator, pytest.MonkeyPatch], None],
) -> Callable[[Emulator, pytest.MonkeyPatch], None]:
    """Break the setup for a user who may look at everything in the AWS account."""

    def break_and_sign_in(aws: Emulator, patch: pytest.MonkeyPatch) -> None:
        break_setup(aws, patch)
        patch.delenv("AWS_SESSION_TOKEN")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, aws.administrator[name])

    return break_and_sign_in


def create_role(name: str, service: str) -> Callable[[Emulator, pytest.MonkeyPatch], None]:
    def create(aws: Emulator, patch: pytest.MonkeyPatch) -> None:
        trust = {
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": service},
                    "Action": "sts:AssumeRole",
                }
            ]
        }
        role = aws.client("iam").create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(trust)
        )
        patch.setenv("FLOWYML_AWS_EXECUTION_ROLE", role["Role"]["Arn"])

    return create


def push_image(
    tag: str, media_type: str = DOCKER_MANIFEST
) -> Callable[[Emulator, pytest.MonkeyPatch], None]:
    def push(aws: Emulator, patch: pytest.MonkeyPatch) -> None:
        ecr: Any = aws.client("ecr")
        repository = "flowyml-emulator"
        with suppress(ecr.exceptions.RepositoryAlreadyExistsException):
            ecr.create_repository(repositoryName=repository)
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {"digest": f"sha256:{tag.encode().hex():0>64}", "size": 1, "mediaType": "x"},
            "layers": [],
        }
        ecr.put_image(repositoryName=repository, imageManifest=json.dumps(manifest), imageTag=tag)
        patch.setenv("FLOWYML_AWS_IMAGE", f"{REGISTRY}/{repository}:{tag}")

    return push


def name_bare_account(aws: Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.delenv("FLOWYML_AWS_STORE")
    patch.setenv("FLOWYML_AWS_ACCOUNT", "bare")
    aws.client("ssm").put_parameter(Name="/flowyml-aws/bare", Value='{"version": 1}', Type="String")


FAULTS: list[tuple[str, Callable[[Emulator, pytest.MonkeyPatch], None], dict[str, str], str]] = [
    ("disabled queue", disable_queue, {"queue-disabled": "error"}, "update-job-queue"),
    (
        "disabled environment",
        disable_environment,
        {"environment-disabled": "error"},
        "Compute environment 'flowyml-emulator-t4' of queue 'flowyml-emulator-t4' is DISABLED",
    ),
    (
        "invalid environment",
        break_environment,
        {"environment-invalid": "error"},
        "no such subnet",
    ),
    ("small environment", lower_maximum, {"no-type-given": "error"}, "allows 2 in all"),
    ("no quota", set_quota(0), {"quota-too-low": "error"}, "--desired-value 4 --region us-east-1"),
    (
        "small quota",
        set_quota(16),
        {"quota-below-some": "note"},
        "--quota-code L-DB2E81BA --desired-value 32",
    ),
    ("clock behind", set_clock(3600), {"clock-skew": "error"}, "60 min behind AWS's"),
    ("clock ahead", set_clock(-120), {"clock-skew": "warning"}, "2 min ahead of AWS's"),
    (
        "unknown queue",
        set_variable("FLOWYML_AWS_QUEUES", "flowyml-emulator-cpu,flowyml-emulator_t4"),
        {"queue-missing": "error"},
        "did you mean 'flowyml-emulator-t4'?",
    ),
    (
        "missing bucket",
        set_variable("FLOWYML_AWS_STORE", "s3://no-such-bucket/prefix"),
        {"failed": "error", "not-checked": "not checked"},
        "bucket failed",
    ),
    (
        "missing role",
        as_administrator(
            set_variable("FLOWYML_AWS_JOB_ROLE", "arn:aws:iam::123456789012:role/unknown")
        ),
        {"role-missing": "error"},
        "Role 'unknown' does not exist",
    ),
    (
        "role of another account",
        set_variable("FLOWYML_AWS_JOB_ROLE", "arn:aws:iam::999999999999:role/flowyml-emulator-job"),
        {"role-elsewhere": "error"},
        "arn:aws:iam::123456789012:role/flowyml-emulator-job",
    ),
    (
        "role for another service",
        as_administrator(create_role("for-ec2", "ec2.amazonaws.com")),
        {"role-not-trusting": "error"},
        "does not allow ecs-tasks.amazonaws.com to assume it",
    ),
    (
        "unknown driver queue",
        set_variable("FLOWYML_AWS_DRIVER_QUEUE", "nowhere"),
        {"failed": "warning"},
        "driver_queue",
    ),
    ("no role", unset_variables("FLOWYML_AWS_JOB_ROLE"), {"no-job-role": "note"}, "job_role"),
    (
        "no image",
        unset_variables("FLOWYML_AWS_IMAGE", "FLOWYML_AWS_REPOSITORY"),
        {"no-image": "error"},
        "image push",
    ),
    (
        "missing image",
        as_administrator(set_variable("FLOWYML_AWS_IMAGE", f"{REGISTRY}/nothing:v1")),
        {"image-missing": "error"},
        "image push",
    ),
    ("image of another Python", push_image("py3.9"), {"python-differs": "error"}, "Python 3.9"),
    (
        "image of an unknown Python",
        push_image("v1"),
        {"python-unknown": "note"},
        "version of the image is unknown",
    ),
    (
        "image with a manifest of OCI",
        push_image(f"py{PYTHON}", "application/vnd.oci.image.manifest.v1+json"),
        {"image-manifest": "warning"},
        "podman build --format docker",
    ),
    (
        "no credentials",
        unset_variables("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        {"failed": "error", "not-checked": "not checked"},
        "aws configure sso",
    ),
    (
        "expired credentials",
        set_variable("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z"),
        {"failed": "error", "not-checked": "not checked"},
        "aws sso login",
    ),
    (
        "unknown profile",
        set_variable("AWS_PROFILE", "unknown"),
        {"failed": "error", "not-checked": "not checked"},
        "correct AWS_PROFILE",
    ),
    (
        "no region",
        unset_variables("AWS_DEFAULT_REGION"),
        {"failed": "error", "not-checked": "not checked"},
        "No AWS region is set",
    ),
    (
        "missing account",
        as_administrator(set_variable("FLOWYML_AWS_ACCOUNT", "nowhere")),
        {"failed": "error", "not-checked": "not checked"},
        "no parameter '/flowyml-aws/nowhere'",
    ),
    (
        "account without a store",
        as_administrator(name_bare_account),
        {"failed": "error", "not-checked": "not checked"},
        "Setting `store` is missing",
    ),
]


@pytest.mark.parametrize(
    ("break_setup", "expected", "text"),
    [case[1:] for case in FAULTS],
    ids=[case[0] for case in FAULTS],
)
def test_a_fault_is_found_and_reported_with_its_fix(
    aws: Emulator,
    account: pytest.MonkeyPatch,
    cli: Cli,
    break_setup: Callable[[Emulator, pytest.MonkeyPatch], None],
    expected: dict[str, str],
    text: str,
) -> None:
    break_setup(aws, account)
    answer = cli("doctor", "--json")
    assert findings(answer) == expected
    assert any(text in full_text(finding) for finding in answer.facts["findings"])


def test_gpus_that_sagemaker_may_not_start_are_a_note(
    aws: Emulator, account: object, cli: Cli
) -> None:
    types = [t.sagemaker_name for t in load_catalog().types if t.gpu_model == "v100"]
    for name in filter(None, types):
        aws.set_quota(name, 0)
    answer = cli("doctor", "--json")
    assert findings(answer) == {"training-quota-some": "note"}
    (finding,) = (f for f in answer.facts["findings"] if f["code"] == "training-quota-some")
    assert finding["what"].endswith("on-demand capacity with v100")
    assert "--service-code sagemaker --quota-code L-" in finding["fix"]
    assert "--desired-value 1 --region us-east-1" in finding["fix"]
    for name in filter(None, types):
        aws.set_quota(name, None)


@pytest.mark.parametrize(
    ("service", "check", "level", "text"),
    [
        ("S3", "bucket", "error", "s3:PutObject"),
        ("BATCH", "queues", "error", "DescribeJobQueues"),
        ("IAM", "roles", "warning", "iam:GetRole"),
        ("SERVICE_QUOTAS", "quotas", "warning", "GetServiceQuota"),
        ("SERVICE_QUOTAS", "training quotas", "warning", "ListServiceQuotas"),
        ("EC2", "compute environments", "note", "ec2:DescribeInstanceTypeOfferings is denied"),
    ],
)
def test_a_denied_call_affects_only_the_check_that_needs_it(
    account: pytest.MonkeyPatch, cli: Cli, service: str, check: str, level: str, text: str
) -> None:
    code = "UnauthorizedOperation" if service == "EC2" else "AccessDenied"
    with refusing(403, code, "no") as endpoint:
        account.setenv(f"AWS_ENDPOINT_URL_{service}", endpoint)
        reported = cli("doctor", "--json").facts["findings"]
    denied = [finding for finding in reported if text in full_text(finding)]
    assert {(finding["check"], finding["level"]) for finding in denied} == {(check, level)}
    assert ("credentials", "ok") in {(finding["check"], finding["level"]) for finding in reported}


def test_the_setting_account_is_enough(account: pytest.MonkeyPatch, cli: Cli) -> None:
    for name in ("STORE", "QUEUES", "IMAGE", "JOB_ROLE"):
        account.delenv(f"FLOWYML_AWS_{name}")
    account.setenv("FLOWYML_AWS_ACCOUNT", "emulator")
    answer = cli("doctor")
    assert answer.code == 0, answer.out
    assert "parameter /flowyml-aws/emulator" in answer.out
    assert "Queue 'flowyml-emulator-h100' accepts jobs" in answer.out


@pytest.fixture
def start(aws: Emulator, account: object, cli: Cli) -> Iterator[Callable[[float], str]]:
    """Function that starts a run whose only job has waited for an instance for some time."""
    batch = aws.client("batch")
    ids: list[str] = []

    def start(age_s: float) -> str:
        file = str(BackendRig("batch", Path.cwd()).write("needy"))
        answer = cli("run", file, "--backend", "batch", "--detach", "--json")
        run_id = str(answer.facts["run_id"])
        names = [{"name": "JOB_NAME", "values": [f"{run_id}-*"]}]

        def queued() -> list[str]:
            jobs = batch.list_jobs(jobQueue="flowyml-emulator-t4", filters=names)["jobSummaryList"]
            return [job["jobId"] for job in jobs if job["status"] == "RUNNABLE"]

        ids.extend(eventually(queued, "the job queued"))
        aws.faults.age(ids[-1], age_s)
        return run_id

    yield start
    for job_id in ids:
        batch.terminate_job(jobId=job_id, reason="end of the test")


def test_a_job_that_was_just_queued_has_no_problem(start: Callable[[float], str], cli: Cli) -> None:
    run_id = start(0)
    answer = cli("doctor", "--run", run_id)
    assert answer.code == 0
    assert "Job 'train' is waiting for an instance; no problem found so far" in answer.out


def test_a_job_that_can_not_start_is_reported_with_the_fix(
    aws: Emulator, account: pytest.MonkeyPatch, start: Callable[[float], str], cli: Cli
) -> None:
    run_id = start(120)
    disable_environment(aws, account)
    answer = cli("doctor", "--run", run_id, "--json")
    assert findings(answer) == {"environment-disabled": "error"}
    assert answer.facts["run_id"] == run_id
    assert [finding["check"] for finding in answer.facts["findings"]] == ["train"]
    text = cli("doctor", "--run", run_id)
    assert text.code == 1
    assert (
        "✗ train: error: Compute environment 'flowyml-emulator-t4' of queue 'flowyml-emulator-t4' "
        "is DISABLED" in text.out
    )
    assert "    fix: aws batch update-compute-environment --state ENABLED" in text.out


def test_a_job_that_waits_for_capacity_is_a_warning(
    aws: Emulator, start: Callable[[float], str], cli: Cli
) -> None:
    run_id = start(600)
    aws.faults.withhold("flowyml-emulator-t4")
    try:
        eventually(
            lambda: "no-capacity" in findings(cli("doctor", "--run", run_id, "--json")),
            "Batch's reason",
        )
    finally:
        aws.faults.withhold("flowyml-emulator-t4", None)


def test_the_live_view_shows_why_a_job_waits(
    aws: Emulator, account: pytest.MonkeyPatch, start: Callable[[float], str]
) -> None:
    run_id = start(120)
    disable_environment(aws, account)
    account.setattr("flowyml_aws.aws.batch.diagnosis._CHECK_INTERVAL_S", 0.1)
    reasons: list[str] = []

    def watch(status: RunStatus) -> None:
        reasons.extend(view.reason for view in status.jobs if view.reason)
        if reasons:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Run.attach(run_id).wait(watch)
    assert (
        "Compute environment 'flowyml-emulator-t4' of queue 'flowyml-emulator-t4' is DISABLED"
        in reasons[0]
    )


def test_an_unknown_run_is_a_mistake(account: object, cli: Cli) -> None:
    answer = cli("doctor", "--run", "a-20261122-150531-3f9a1c")
    assert answer.code == 2
    assert "No run" in answer.err


def test_a_failed_job_on_this_machine_is_an_error(rig: BackendRig, cli: Cli) -> None:
    run_id = cli("run", str(rig.write("failing")), "--json").facts["run_id"]
    answer = cli("doctor", "--run", run_id)
    assert answer.code == 1
    assert "has failed" in answer.out
