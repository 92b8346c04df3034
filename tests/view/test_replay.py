from __future__ import annotations

from flowyml_aws.client.replay import Comparison, Replay
from flowyml_aws.runtime.replay import Replayed
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.view.replay import replay_text, value_text
from tests.view.test_outputs import REF, shown

REPORT = StepReport(name="fit", state=StepState.SUCCEEDED, started_at=0.0, ended_at=2.0)


def test_an_outcome_is_shown_next_to_that_of_the_run() -> None:
    other = REF.model_copy(update={"sha256": "1" * 64})
    outputs = (
        Comparison("model", [1], REF, REF),
        Comparison("score", 0.5, REF, other),
        Comparison("notes", "x", None, None),
    )
    recorded = REPORT.model_copy(update={"ended_at": 60.0})
    replay = Replay("fit", Replayed(REPORT, ("load",), {}, {}, None), recorded, outputs)
    lines = shown(replay_text(replay))
    assert lines[:3] == [
        "fit: succeeded after 2.0 s",
        "in the run: succeeded after 60.0 s",
        "executed before it, because not stored: load",
    ]
    assert [line.split()[-1] for line in lines[4:]] == ["same", "different", "stored"]


def test_a_step_after_a_failure_was_not_run() -> None:
    waiting = StepReport(name="fit")
    replay = Replay("fit", Replayed(waiting, (), {}, {}, ValueError()), None, ())
    assert shown(replay_text(replay)) == ["fit: not run, because a step before it failed"]


def test_a_value_is_one_short_line_whatever_its_class_does() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError

    assert value_text("a" * 100) == f"'{'a' * 59}…"
    assert value_text(Broken()) == "<ValueError in its representation>"
