from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.system


def test_a_model_that_is_not_good_enough_is_trained_again(python: Any) -> None:
    finished = python("examples/branches/pipeline.py", "0.99")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines() == ["accuracy 0.75, trained again: pass from 3.5 hours"]
