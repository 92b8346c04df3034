"""A schedule from its creation to its end, on the clock of an emulated account."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.artifacts.layout import RUNS, RunLayout
from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.client.schedules import delete, list_all, set_enabled
from flowyml_aws.services.connect import find_run
from tests.support.rigs import BackendRig, eventually, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("emulator-schedules")]

PROGRAM = """
import os
from flowyml_aws import Pipeline, step

@step(outputs=["time"])
def read_time():
    return os.environ["FLOWYML_SCHEDULED_TIME"]

pipeline = Pipeline("hourly").add_step(read_time)
"""


def test_a_schedule_runs_its_pipeline_on_the_accounts_clock(tmp_path: Path) -> None:
    with raised_emulator() as aws:
        rig = BackendRig("batch", tmp_path / "project", aws.environment)
        file = rig.folder / "hourly.py"
        file.write_text(PROGRAM)
        with rig.entered():
            pipeline = load_pipeline(str(file))
            planned = pipeline.schedule(rate="1 hour", backend="batch", notify=["events:default"])
            created = planned.create()
            aws.advance(3600)
            file.unlink()  # everything is in the store
            (listed,) = eventually(
                lambda: [s for s in list_all() if s.state == "succeeded"], "the end of the run"
            )
            run = Run.attach(listed.last_run or "")
            assert run.outputs["time"] == listed.firings[0].time
            sent = ["notice sent to events:default"]  # after the end is recorded
            eventually(lambda: run.notice_lines() == sent, "the notice")
            set_enabled("hourly", False)
            aws.advance(7200)
            set_enabled("hourly", True)
            delete("hourly")
            assert list_all() == []
            store = find_run(run.id).store
            assert RunLayout(created.template).schedule not in {e.key for e in store.walk(RUNS)}
        jobs = [call.resource for call in aws.calls if call.operation == "SubmitJob"]
        assert len(jobs) == 1  # that of the run; the service has submitted the driver
        assert aws.failed_invocations == []
        assert [str(denial) for denial in aws.guard.denials] == []
