from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import Run
from flowyml_aws.artifacts.errors import PickleRefusedError
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.client.output_names import OutputNames
from flowyml_aws.client.result import OutputNotFoundError, Outputs
from flowyml_aws.core.errors import ArtifactNotFoundError, RunNotFoundError
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.status import RunStatus
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[BackendRig, str]:
    rig = BackendRig("local", tmp_path_factory.mktemp("kinds") / "project")
    with rig.entered():
        return rig, rig.pipeline("kinds").run(progress=False).run_id


@pytest.fixture
def run(kinds: tuple[BackendRig, str]) -> Iterator[Run]:
    rig, run_id = kinds
    with rig.entered():
        yield Run.attach(run_id)


def test_outputs_are_mappings_by_asset_and_by_step(run: Run) -> None:
    outputs = run.outputs
    assert {"text", "write", "low", "high", "split"} <= set(outputs)
    assert outputs["write"] == outputs["text"] == "hello hello"
    assert outputs["split"] == {"low": -2, "high": 2}
    assert len(outputs) == len(list(outputs))


def test_a_missing_output_is_a_key_error_that_names_the_stored_outputs(run: Run) -> None:
    with pytest.raises(KeyError) as caught:
        run.outputs["txt"]
    assert isinstance(caught.value, OutputNotFoundError)
    assert "text" in caught.value.why
    assert caught.value.fix.startswith("did you mean 'text'")
    assert run.outputs.get("txt", 5) == 5
    assert "txt" not in run.outputs


def test_pickled_outputs_are_not_loaded_unless_allowed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    restricted = Run.attach(run.id, allow_pickle=False).outputs
    with pytest.raises(PickleRefusedError, match="'odd'"):
        restricted["odd"]
    assert restricted["text"] == "hello hello"
    assert run.outputs["odd"] == {1j}
    monkeypatch.setenv("FLOWYML_AWS_ALLOW_PICKLE", "false")
    with pytest.raises(PickleRefusedError, match="'odd'"):
        Run.attach(run.id).outputs["odd"]
    assert Run.attach(run.id, allow_pickle=True).outputs["odd"] == {1j}


def test_pickled_outputs_of_a_run_that_another_user_started_need_permission(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))  # another user, or another machine
    foreign = Run.attach(run.id)
    with pytest.raises(PickleRefusedError) as caught:
        foreign.outputs["odd"]
    assert f"this user did not start {run.id} on this machine" in caught.value.why
    assert "allow_pickle=True" in caught.value.fix
    assert foreign.outputs["text"] == "hello hello"
    assert Run.attach(run.id, allow_pickle=True).outputs["odd"] == {1j}
    monkeypatch.setenv("FLOWYML_AWS_ALLOW_PICKLE", "true")
    assert Run.attach(run.id).outputs["odd"] == {1j}


def test_a_process_can_load_its_own_outputs_without_a_folder_for_its_state(
    kinds: tuple[BackendRig, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    rig, _ = kinds
    with rig.entered():
        assert rig.pipeline("kinds").run(progress=False)["odd"] == {1j}


def test_allow_pickle_of_a_run_applies_to_its_result(
    kinds: tuple[BackendRig, str],
) -> None:
    rig, _ = kinds
    with rig.entered():
        result = rig.pipeline("kinds").run(progress=False, allow_pickle=False)
    assert result.success
    with pytest.raises(PickleRefusedError, match="'odd'"):
        result["odd"]
    assert result["text"] == "hello hello"


def test_a_value_is_loaded_once_and_on_access() -> None:
    loaded: list[str] = []

    def load(assets: Sequence[str]) -> dict[str, list[str]]:
        loaded.extend(assets)
        return {asset: [asset] for asset in assets}

    values = {"a": ("a",), "b": ("b",), "both": ("a", "b")}
    outputs = Outputs(
        OutputNames(values, {}, tuple(values), 2),
        load,
        lambda name: OutputNotFoundError(name, "", ""),
    )
    assert "a" in outputs and list(outputs) == ["a", "b", "both"] and loaded == []
    assert outputs["a"] is outputs["a"]
    assert loaded == ["a"]
    assert outputs["both"] == {"a": ["a"], "b": ["b"]}
    assert loaded == ["a", "b"]


def test_a_deleted_value_is_an_error_on_access(new_run: Run) -> None:
    run = new_run
    (ref,) = run.refs("odd").values()
    Path(ref.uri.removeprefix("file://")).unlink()
    with pytest.raises(ArtifactNotFoundError, match="'odd'"):
        run.outputs["odd"]
    assert run.outputs["text"] == "hello hello"


@pytest.fixture
def new_run(tmp_path: Path) -> Iterator[Run]:
    """A run that a test may damage."""
    rig = BackendRig("local", tmp_path / "project")
    with rig.entered():
        yield Run.attach(rig.pipeline("kinds").run(progress=False).run_id)


def test_refs_are_artifact_refs_by_asset(run: Run) -> None:
    refs = run.refs("split")
    assert refs.keys() == {"low", "high"}
    assert all(isinstance(ref, ArtifactRef) for ref in refs.values())


def test_a_result_contains_each_step_with_its_output_and_uri(run: Run) -> None:
    result = run.result()
    step = result.step_results["write"]
    assert (step.success, step.error, step.output) == (True, None, "hello hello")
    assert step.artifact_uri is not None and step.artifact_uri.startswith("file:///")
    assert not step.cached and not step.skipped
    assert result.duration_seconds > 0


def test_a_result_as_dict_does_not_contain_values(run: Run) -> None:
    facts = run.result().to_dict()
    assert facts["run_id"] == run.id
    assert facts["steps"]["write"]["error"] is None
    assert "hello" not in repr(facts)


def test_a_summary_contains_state_and_steps(run: Run) -> None:
    summary = run.result().summary()
    assert "State: succeeded" in summary
    assert "write: succeeded" in summary


def test_a_watcher_is_called_until_the_end(tmp_path: Path) -> None:
    rig = BackendRig("local", tmp_path / "project")
    seen: list[RunStatus] = []
    with rig.entered():
        result = rig.pipeline("noisy").submit().wait(seen.append)
    assert seen[-1] == result.status
    assert {report.state for report in seen[-1].steps.values()} == {StepState.SUCCEEDED}


def test_an_error_in_a_watcher_stops_the_local_jobs(tmp_path: Path) -> None:
    rig = BackendRig("local", tmp_path / "project")

    def fail(_: Any) -> None:
        raise RuntimeError("no terminal")

    with rig.entered():
        run = rig.pipeline("waiting").submit()
        with pytest.raises(RuntimeError, match="no terminal"):
            run.wait(fail)
        Path(f"{rig.trace}.go").touch()
        assert run.wait().success


def test_attach_to_an_unknown_run_is_an_error(run: Run) -> None:
    with pytest.raises(RunNotFoundError):
        Run.attach("unknown-20261122-150531-3f9a1c")
