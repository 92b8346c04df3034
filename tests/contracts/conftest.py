from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rigs import BackendRig, new_rig
from tests.support.stores import bucket, moto_url, s3, store

__all__ = ["bucket", "moto_url", "s3", "store"]

BACKENDS = [
    pytest.param(name, marks=[pytest.mark.contract, pytest.mark.xdist_group(f"backend-{name}")])
    for name in ("local", "batch", "sagemaker")
]


@pytest.fixture(params=BACKENDS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BackendRig]:
    """A new project for each backend, with its folder as working directory."""
    rig = new_rig(request.param, tmp_path, request)
    with rig.entered():
        yield rig
