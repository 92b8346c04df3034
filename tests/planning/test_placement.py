from __future__ import annotations

from collections.abc import Mapping

import pytest

from flowyml_aws import step
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.step_grouping import StepGroup, group_steps
from flowyml_aws.planning.placement import Placement, backends_in


def groups(*pairs: tuple[str, str | None]) -> tuple[StepGroup, ...]:
    steps = [step(name=name, execution_group=group)(lambda: None) for name, group in pairs]
    return group_steps(steps)


GROUPS = groups(("load", None), ("fit", "training"), ("score", "training"), ("report", None))


def where(asked: str | Mapping[str, str]) -> dict[str, str]:
    placement = Placement.of(asked)
    assert not placement.problems(GROUPS)
    return {group.group_name: placement.backend_of(group) for group in GROUPS}


def complaints(asked: Mapping[str, str]) -> list[str]:
    return [str(problem) for problem in Placement.of(asked).problems(GROUPS)]


def test_one_backend_is_for_every_group() -> None:
    assert set(where("sagemaker").values()) == {"sagemaker"}
    assert Placement.of("sagemaker").name == "sagemaker"


def test_a_group_and_a_single_step_are_placed_by_name_and_the_rest_elsewhere() -> None:
    asked = {"training": "sagemaker", "report": "sagemaker", "*": "batch"}
    assert where(asked) == {"load": "batch", "training": "sagemaker", "report": "sagemaker"}
    assert Placement.of(asked).name == "batch+sagemaker"
    assert backends_in("batch+sagemaker") == ("batch", "sagemaker")


def test_a_part_of_a_split_group_is_placed_with_the_whole_group_or_by_its_own_name() -> None:
    split = groups(("a", "g"), ("b", None), ("c", "g"))
    placement = Placement.of({"g": "sagemaker", "g_1": "batch", "*": "batch"})
    assert not placement.problems(split)
    assert [placement.backend_of(group) for group in split] == ["sagemaker", "batch", "batch"]


def test_an_unknown_name_is_an_error_that_names_the_nearest() -> None:
    (told,) = complaints({"trainign": "sagemaker", "*": "batch"})
    assert "no group or single step 'trainign'" in told
    assert "did you mean 'training'?" in told


def test_a_step_inside_a_group_can_not_go_elsewhere() -> None:
    (told,) = complaints({"fit": "sagemaker", "*": "batch"})
    assert "name the group: 'training'" in told


def test_a_mapping_that_leaves_groups_out_is_an_error_that_names_them() -> None:
    (told,) = complaints({"training": "sagemaker"})
    assert "'load', 'report'" in told


def test_a_mapping_needs_no_rest_where_every_group_is_named() -> None:
    asked = {"training": "sagemaker", "load": "batch", "report": "batch"}
    assert where(asked)["training"] == "sagemaker"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("sagemakr", "did you mean 'sagemaker'"),
        ({"training": "cloud", "*": "batch"}, "Unknown backend 'cloud'"),
        ({"training": "sagemaker", "*": "local"}, "can't be mixed"),
        ({}, "No backend is named"),
    ],
)
def test_what_is_no_backend_is_refused(asked: str | Mapping[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        Placement.of(asked)


def test_a_name_of_records_with_an_unknown_backend_is_refused() -> None:
    with pytest.raises(SettingsError, match="Unknown backend 'fog'"):
        backends_in("batch+fog")
