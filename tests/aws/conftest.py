from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws.testing import Emulator
from tests.support.rigs import BackendRig
from tests.support.shared_account import share_stores


@pytest.fixture
def rig(aws: Emulator, tmp_path: Path) -> Iterator[BackendRig]:
    """A new project on the module's emulated account; the test runs inside it."""
    share_stores()
    store = f"{aws.environment['FLOWYML_AWS_STORE']}/{uuid.uuid4().hex}"
    settings = {"FLOWYML_AWS_STORE": store, "FLOWYML_AWS_POLL_S": "0.2"}
    rig = BackendRig("batch", tmp_path / "project", {**aws.environment, **settings})
    with rig.entered():
        yield rig
