"""Real torchrun and Dask on nodes of this machine; `tests/examples` has Ray."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rigs import BackendRig

pytestmark = [pytest.mark.system, pytest.mark.thorough]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BackendRig]:
    rig = BackendRig("local", tmp_path / "project")
    with rig.entered():
        yield rig


def test_torchrun_starts_processes_on_all_nodes_and_names_the_rank_that_fails(
    rig: BackendRig,
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (up to 3 GB)")
    if torch.__version__ < "2" and sys.version_info >= (3, 11):
        pytest.skip("torchrun of PyTorch 1 does not work with Python 3.11")
    result = rig.pipeline("launchers:torch").run(backend="local", progress=False)
    assert result["total"] == 10 + 11 + 12 + 13
    assert result["alone"] == (10 + 11 + 12 + 13, 1)
    error = result.step_results["fail_in_rank_1"].error
    assert error is not None and error.startswith("On node 1:\nOn rank 1:\nTraceback")
    assert 'raise ValueError("no luck in this rank")' in error


def test_a_dask_cluster_has_a_worker_on_each_node(rig: BackendRig) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed")
    result = rig.pipeline("launchers:dask").run(backend="local", progress=False)
    assert result["squares"] == (2, [number**2 for number in range(10)])
