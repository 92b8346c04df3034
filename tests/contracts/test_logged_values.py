"""Values that steps log, on every backend."""

from __future__ import annotations

from flowyml_aws import Run
from tests.support.rigs import BackendRig

METRICS = {
    "load": {"rows": 3.0},
    "train": {"loss": 0.1, "val/loss": 1.0},
    "evaluate": {"score": 1.5},
    "fail": {"before": 1.0},
}


def test_the_result_has_what_the_steps_logged_also_if_they_are_cached(rig: BackendRig) -> None:
    first = rig.pipeline("metrics").run(backend=rig.backend, progress=False)
    assert first.success, first.summary()
    assert first.metrics == first.to_dict()["metrics"] == METRICS
    assert first.logged["train"].metrics["loss"].values == (0.5, 0.25, 0.5 / 3, 0.125, 0.1)
    assert first.logged["train"].images["curve"].media_type == "image/png"
    assert first.logged["evaluate"].tables["errors"].columns == ("row", "error")
    assert first.logged["evaluate"].texts["summary"].text == "fine"
    second = rig.pipeline("metrics").run(backend=rig.backend, progress=False)
    assert [step.cached for step in second.step_results.values()] == [True, True, True, False]
    assert Run.attach(second.run_id).metrics() == METRICS
    comparison = Run.attach(first.run_id).compare(second.run_id)
    assert {value.kind.value for value in comparison.differences} <= {"state", "time", "cost"}
    assert {"code", "parameter", "output", "metric"} <= {v.kind.value for v in comparison.values}
