"""Jobs whose calls of the store fail, as in an outage of S3 or of the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends

from flowyml_aws.testing import ApiCall, Emulator
from flowyml_aws.testing.disturbance import CallFault
from tests.support.rigs import BackendRig, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("outages")]

PROGRAM = """
from flowyml_aws import Pipeline, step

@step(outputs=["a"], execution_group="one", cache="code_hash")
def read():
    return 3

@step(inputs=["a"], outputs=["b"], execution_group="two", cache="code_hash")
def add(a):
    return a + 1

pipeline = Pipeline("outage")
pipeline.add_step(read)
pipeline.add_step(add)
"""
BOTOCORE_ATTEMPTS = 3
DENY_CACHE = """{
  "Version": "2012-10-17",
  "Statement": {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::*/cache/*"}
}"""


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        yield aws


@pytest.fixture
def run(rig: BackendRig) -> Callable[[str], object]:
    """Run the pipeline on a backend, and return its value."""
    from flowyml_aws.cli.load import load_pipeline

    file = rig.folder / "outage.py"
    file.write_text(PROGRAM)
    pipeline = load_pipeline(str(file))

    def start(backend: str) -> object:
        result = pipeline.run(backend=backend, progress=False)
        assert result.success, result.summary()
        return result["b"]

    return start


class Outage:
    """Breaks calls of an operation on keys that contain a string, a number of times."""

    def __init__(self, operation: str, part: str, fault: CallFault, times: int) -> None:
        self.operation, self.part, self.fault, self.left = operation, part, fault, times

    def __call__(self, call: ApiCall, _access_key: str) -> CallFault | None:
        if self.left and call.operation == self.operation and self.part in call.resource:
            self.left -= 1
            return self.fault
        return None


@pytest.mark.parametrize(
    ("backend", "operation", "part", "fault"),
    [
        ("batch", "PutObject", "result.json", CallFault.UNAVAILABLE),
        ("sagemaker", "PutObject", "/artifacts/", CallFault.RESET),
        ("batch", "GetObject", "one/result.json", CallFault.RESET),
        # The store has the result, and the job must not take it for another attempt's.
        ("batch", "PutObject", "result.json", CallFault.LOST),
        # The credentials of a job are renewed. S3 answers HEAD requests without an error code.
        ("batch", "PutObject", "result.json", CallFault.EXPIRED),
        ("batch", "HeadObject", "/artifacts/", CallFault.EXPIRED),
    ],
    ids=["result", "value", "parent", "answer", "expired", "expired-head"],
)
def test_a_job_waits_for_the_store(
    aws: Emulator,
    run: Callable[[str], object],
    backend: str,
    operation: str,
    part: str,
    fault: CallFault,
) -> None:
    outage = Outage(operation, part, fault, 2 * BOTOCORE_ATTEMPTS)
    aws.faults.disturb(outage)
    assert run(backend) == 4
    assert outage.left == 0


@pytest.mark.parametrize("backend", ["batch", "sagemaker"])
def test_a_job_that_gives_up_fails_no_run_and_is_started_again(
    aws: Emulator,
    run: Callable[[str], object],
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_STORE_WAIT_S", "1")
    attempts = set()

    def fault_of(call: ApiCall, _access_key: str) -> CallFault | None:
        if "/attempts/" in call.resource and call.operation == "PutObject":
            attempts.add(call.resource)
        is_second = any("/attempts/2/" in key for key in attempts)
        is_result = call.operation == "PutObject" and call.resource.endswith("one/result.json")
        return CallFault.UNAVAILABLE if is_result and not is_second else None

    aws.faults.disturb(fault_of)
    assert run(backend) == 4
    assert any("one/attempts/2/" in key for key in attempts)


def test_a_cache_entry_that_cannot_be_written_fails_no_job(
    aws: Emulator, run: Callable[[str], object]
) -> None:
    iam_backends[DEFAULT_ACCOUNT_ID]["aws"].put_role_policy(
        "flowyml-emulator-job", "no-cache", DENY_CACHE
    )
    assert run("batch") == 4
