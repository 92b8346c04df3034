from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.places import Place, a_place
from tests.support.stores import bucket, moto_url, s3, store

__all__ = ["bucket", "moto_url", "s3", "store"]

BACKENDS = [
    pytest.param(name, marks=[pytest.mark.contract, pytest.mark.xdist_group(f"backend-{name}")])
    for name in ("local", "batch", "sagemaker")
]


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A new project for each backend, which this process is in."""
    place = a_place(request.param, tmp_path, request)
    with place.entered():
        yield place
