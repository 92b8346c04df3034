from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from flowyml_aws.client.output_names import listed_assets, output_names
from flowyml_aws.client.result import OutputNotFoundError, Outputs
from flowyml_aws.planning.plan import ReusedStep
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.missing_output import missing_outputs, output_not_found
from flowyml_aws.submission.status import RunStatus
from tests.support.maps import a_view, run_of_items, run_of_parts
from tests.support.plans import a_job

OK, BAD, SKIPPED = StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED


def stored_in(status: RunStatus) -> list[str]:
    return [asset for view in status.jobs if view.result for asset in view.result.asset_bytes]


def outputs_of(status: RunStatus, loads: list[list[str]] | None = None) -> Outputs:
    stored = stored_in(status)

    def load(assets: Sequence[str]) -> Mapping[str, Any]:
        if loads is not None:
            loads.append(list(assets))
        return {asset: f"value of {asset}" for asset in assets}

    names = output_names(status, stored)
    return Outputs(names, load, lambda name: output_not_found(name, status, stored))


def a_run(states: Sequence[StepState], **changes: Any) -> RunStatus:
    best = a_view(a_job("best"), JobState.SUCCEEDED, [OK])
    return run_of_items(states, others=[best], **changes)


def test_the_asset_and_the_step_of_a_map_are_lists_in_order() -> None:
    outputs = outputs_of(a_run([OK] * 12))
    expected = [f"value of model[{number}]" for number in range(12)]
    assert outputs["model"] == expected and outputs["train"] == expected


def test_the_asset_of_the_branch_that_was_taken_has_the_shared_name() -> None:
    large = a_job("large", produces={"large": ("model:large",)})
    small = a_job("small", produces={"small": ("model:small",)})
    views = [a_view(large, JobState.SUCCEEDED, [SKIPPED]), a_view(small, JobState.SUCCEEDED, [OK])]
    status = RunStatus("r-1", "p", "local", 0.0, tuple(views))
    outputs = outputs_of(status)
    assert (list(outputs), outputs["model"]) == (["model", "small"], "value of model:small")
    assert missing_outputs(status, ["model:small"]) == {}


def test_an_asset_is_skipped_if_all_branches_that_produce_it_are() -> None:
    cause = "'d' chose '(none)', not 'then'"
    skipped = ReusedStep(produces=("model:large",), skipped={"model:large": cause})
    status = RunStatus("r-1", "p", "local", 0.0, reused={"large": skipped})
    error = output_not_found("model", status, [])
    assert (error.what, error.why) == ("Output 'model' of run r-1 was skipped", cause)


def test_a_map_over_an_empty_list_has_an_empty_list_as_output() -> None:
    outputs = outputs_of(a_run([]))
    assert outputs["model"] == outputs["train"] == []
    assert list(outputs) == ["best", "model", "train"]


def test_a_list_is_loaded_at_once_and_only_once() -> None:
    loads: list[list[str]] = []
    outputs = outputs_of(a_run([OK] * 3), loads)
    assert outputs["model[1]"] == "value of model[1]"
    assert outputs["model"] and outputs["train"]
    assert loads == [["model[1]"], ["model[0]", "model[2]"]]


def test_iteration_has_declared_names_and_items_are_still_found() -> None:
    outputs = outputs_of(a_run([OK] * 12))
    assert list(outputs) == ["model", "best", "train"]
    assert len(outputs) == 3 and "model[11]" in outputs and "model[12]" not in outputs
    assert outputs["train[3]"] == "value of model[3]"


def test_dropped_and_skipped_items_are_left_out_of_the_list() -> None:
    outputs = outputs_of(a_run([OK, BAD, SKIPPED, OK], on_item_failure="drop"))
    assert outputs["model"] == ["value of model[0]", "value of model[3]"]


def test_a_list_with_a_failed_item_is_an_error_that_names_it() -> None:
    outputs = outputs_of(run_of_items([OK, BAD], jobs=JobState.FAILED, per_job=2))
    assert "model" not in outputs and "model[0]" in outputs
    with pytest.raises(OutputNotFoundError, match="incomplete: 1 of 2 items") as caught:
        outputs["model"]
    assert "model[1] was not produced" in caught.value.why
    assert "'model[0]'" in caught.value.fix


def test_a_list_of_which_no_item_exists_is_an_error() -> None:
    outputs = outputs_of(run_of_items([BAD, BAD], on_item_failure="drop"))
    with pytest.raises(OutputNotFoundError, match="'model' of run r-1 was dropped") as caught:
        outputs["model"]
    assert caught.value.why == "step 'train[0]' is failed: ValueError: no rows"


def test_an_item_that_does_not_exist_is_an_error_that_names_the_items() -> None:
    with pytest.raises(OutputNotFoundError) as caught:
        outputs_of(a_run([OK] * 3))["model[7]"]
    assert caught.value.why == "the items of 'model' are model[0] to model[2]"


def test_a_misspelled_name_suggests_declared_names() -> None:
    with pytest.raises(OutputNotFoundError) as caught:
        outputs_of(a_run([OK] * 50))["modl"]
    assert caught.value.fix == "did you mean 'model'?"
    assert "model[" not in caught.value.why


def test_a_list_of_outputs_has_one_entry_for_a_map() -> None:
    status = a_run([OK, BAD, OK], on_item_failure="drop")
    model, best = listed_assets(status, stored_in(status))
    assert (model.asset, model.step, model.items) == ("model", "train", 3)
    assert model.stored == ("model[0]", "model[2]")
    assert (best.asset, best.stored, best.items) == ("best", ("best",), None)


def test_the_asset_of_a_map_in_parts_is_the_list_of_the_items_of_all_parts() -> None:
    status = run_of_parts([OK, OK, OK], [OK])
    values = {"model{1/3}": [1], "model{2/3}": [], "model{3/3}": [2, 3]}
    names = output_names(status, [*values, "model[1]"])
    outputs = Outputs(names, lambda assets: {a: values[a] for a in assets}, KeyError)  # type: ignore[arg-type]
    assert outputs["model"] == outputs["train"] == [1, 2, 3]
    assert outputs["model{3/3}"] == [2, 3]
    assert list(outputs) == ["model", "train"]
    assert [each.asset for each in listed_assets(status, values)] == ["model"]


def test_the_list_of_a_map_with_a_missing_part_does_not_exist() -> None:
    outputs = outputs_of(run_of_parts([OK, StepState.WAITING], None))
    with pytest.raises(OutputNotFoundError, match="incomplete: 1 of 2"):
        _ = outputs["model"]


def test_an_item_of_a_part_that_was_dropped_is_an_error_with_its_cause() -> None:
    outputs = outputs_of(run_of_parts([OK, OK], [BAD, OK], on_item_failure="drop"))
    with pytest.raises(OutputNotFoundError) as caught:
        outputs["model[1]"]
    assert caught.value.what == "Output 'model[1]' of run r-1 was dropped"
    assert caught.value.why == "step 'train[1]' is failed: ValueError: no rows"
    with pytest.raises(OutputNotFoundError, match="has no output 'model\\[7\\]'"):
        outputs["model[7]"]
