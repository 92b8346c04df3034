"""The rings of tests are enforced: a unit test can start neither a process nor a server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flowyml_aws.warm.starter import RUNNER_MODULE, WarmStarter


def test_a_unit_test_fails_if_it_starts_a_process() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"is a unit test.*subprocess\.Popen"):
        subprocess.run([sys.executable, "-c", ""], check=True)


def test_a_unit_test_fails_if_it_forks() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"is a unit test.*os\.fork"):
        os.fork()


def test_a_unit_test_fails_if_it_starts_a_job_in_a_warm_process(tmp_path: Path) -> None:
    starter = WarmStarter(os.environ, RUNNER_MODULE)
    with pytest.raises(pytest.fail.Exception, match=r"is a unit test.*subprocess\.Popen"):
        starter.start([], os.environ, tmp_path)


def test_a_unit_test_fails_if_it_starts_a_server() -> None:
    with (
        socket.socket() as server,
        pytest.raises(pytest.fail.Exception, match=r"is a unit test.*socket\.bind"),
    ):
        server.bind(("127.0.0.1", 0))


@pytest.mark.contract
def test_a_contract_test_may_start_a_process() -> None:
    assert subprocess.run([sys.executable, "-c", "print(1)"], stdout=subprocess.PIPE).stdout
