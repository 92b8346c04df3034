from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from flowyml_aws.runtime.user import drop_root
from flowyml_aws.testing.sockets import owner_of

CODE = "import os; from flowyml_aws.runtime.user import drop_root; drop_root(os.environ); print({})"


@pytest.mark.contract
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")
@pytest.mark.parametrize(
    ("environment", "user"),
    [
        ({"FLOWYML_USER": "10001", "AWS_BATCH_JOB_ID": "1"}, 10001),
        ({"FLOWYML_USER": "10001", "TRAINING_JOB_NAME": "run-job-1"}, 0),
        ({}, 0),
    ],
)
def test_root_is_dropped_outside_sagemaker_if_the_image_declares_a_user(
    environment: dict[str, str], user: int
) -> None:
    ask = CODE.format("os.getresuid(), os.getresgid()")
    done = subprocess.run(
        [sys.executable, "-c", ask], env={**os.environ, **environment}, capture_output=True
    )
    assert done.stdout.decode().strip() == f"{(user,) * 3} {(user,) * 3}", done.stderr


def test_a_user_that_is_not_root_keeps_its_user() -> None:
    before = os.getuid()
    drop_root({"FLOWYML_USER": "10001", "TRAINING_JOB_NAME": "run-job-1"})
    drop_root({})
    assert os.getuid() == before


@pytest.mark.contract
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")
def test_the_runner_asks_for_the_machine_type_before_it_drops_root() -> None:
    # infra/ keeps the user of images from the instance metadata.
    owners = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        environment = {
            **os.environ,
            "FLOWYML_USER": "10001",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{port}/",
        }
        with subprocess.Popen(
            [sys.executable, "-m", "flowyml_aws.job", "file:///none#sha256=0"],
            env=environment,
            stderr=subprocess.PIPE,
        ) as runner:
            connection, client = server.accept()
            with connection:
                owners.append(owner_of(client, server.getsockname()))
            _, errors = runner.communicate()
    assert owners == [0]
    assert b"the job failed without a result" in errors
