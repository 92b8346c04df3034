"""The step of a job of `flowyml-aws exec`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.artifacts.values import save_value
from flowyml_aws.core.errors import StepUnavailableError
from flowyml_aws.job.command import CommandFailedError, run_command
from flowyml_aws.job.inputs import FOLDER_VARIABLE, Inputs, RecordedInput, load
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.time_limit import StepTimeout, call_within

NONE = {"store": "file:///none", "assets": {}}


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    store = DirectoryArtifactStore(tmp_path / "store")
    file = tmp_path / "table.csv"
    file.write_text("a,b", "utf-8")
    values: dict[str, tuple[Any, ...]] = {
        "rows": ([1, 2],),
        "table": (file,),
        "models": ("x", "y"),
        "scores": ([1], [2, 3]),
    }
    kinds = {"rows": "value", "table": "value", "models": "items", "scores": "parts"}
    return Inputs(
        store=store.uri,
        assets={
            name: RecordedInput(
                kind=kinds[name],  # type: ignore[arg-type]
                refs=tuple(save_value(store, name, value) for value in values[name]),
            )
            for name in values
        },
    )


def test_inputs_are_loaded_by_their_names(inputs: Inputs, tmp_path: Path) -> None:
    inputs.write(tmp_path)
    environment = {FOLDER_VARIABLE: str(tmp_path)}
    assert load("rows", environment) == [1, 2]
    assert load("table", environment).read_text("utf-8") == "a,b"
    assert load("models", environment) == ["x", "y"]
    assert load("scores", environment) == [1, 2, 3]
    with pytest.raises(StepUnavailableError, match="mean 'rows'"):
        load("row", environment)
    with pytest.raises(StepUnavailableError, match="flowyml-aws exec"):
        load("rows", {})


@pytest.mark.contract
def test_a_command_gets_its_inputs_and_leaves_no_files(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    script = f'cat ${FOLDER_VARIABLE}/inputs.json > "{tmp_path}/seen"'
    assert run_command(["sh", "-c", script], inputs.model_dump(mode="json")) == 0
    assert (
        json.loads((tmp_path / "seen").read_text("utf-8"))["assets"].keys() == inputs.assets.keys()
    )
    assert not list(tmp_path.glob("flowyml-aws-exec-*"))


@pytest.mark.contract
def test_another_exit_code_and_a_missing_program_are_errors() -> None:
    with pytest.raises(CommandFailedError, match="exit code 3"):
        run_command(["sh", "-c", "exit 3"], NONE)
    with pytest.raises(CommandFailedError, match="signal 9"):
        run_command(["sh", "-c", "kill -9 $$"], NONE)
    with pytest.raises(CommandFailedError, match="can't be started: no-such-program"):
        run_command(["no-such-program"], NONE)


@pytest.mark.contract
def test_a_command_at_its_time_limit_leaves_no_process(tmp_path: Path) -> None:
    script = f'echo $$ > "{tmp_path}/pid"; exec sleep 1000'

    def limited() -> None:
        run_command(["sh", "-c", script], NONE)

    with pytest.raises(StepTimeout):
        call_within(1.0, limited, on_stuck=lambda: None)
    with pytest.raises(ProcessLookupError):
        os.killpg(int((tmp_path / "pid").read_text("utf-8")), 0)
