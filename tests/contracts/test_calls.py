"""Functions of every kind get their arguments as in a plain call."""

from __future__ import annotations

import pytest

from tests.contracts.conftest import BACKENDS
from tests.support.rigs import BackendRig


@pytest.mark.parametrize("rig", BACKENDS[:2], indirect=True)
def test_every_kind_of_callable_gets_its_arguments(rig: BackendRig) -> None:
    result = rig.pipeline("calls").run(backend=rig.backend, progress=False)
    assert result.success, result.summary()
    values = {
        "star": [5, 3],
        "rest": [5, (3,)],
        "keywords": {"a": 5, "b": 3},
        "positional": [5, 3, 20],
        "partial": 6,
        "method": [1, 5, 3, 2],
        "object": [5, 3, 7],
        "builtin": 5,
        "logged": 4,
        "scaled": 4,
        "injected": ["session", 5],
        "patched": [5, 1],
    }
    assert {name: result[f"{name}_value"] for name in values} == values
    assert result["ordered"] == "ordered"  # although one of the steps before was skipped
