from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws.testing import Emulator
from tests.support.places import Place


@pytest.fixture
def place(aws: Emulator, tmp_path: Path) -> Iterator[Place]:
    """A new project on the module's emulated account, which this process is in."""
    store = f"{aws.environment['FLOWYML_AWS_STORE']}/{uuid.uuid4().hex}"
    settings = {"FLOWYML_AWS_STORE": store, "FLOWYML_AWS_POLL_S": "0.05"}
    place = Place("batch", tmp_path / "project", {**aws.environment, **settings})
    with place.entered():
        yield place
