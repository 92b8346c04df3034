from __future__ import annotations

from collections.abc import Mapping

import pytest

from flowyml_aws import step
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.step_grouping import StepGroup, group_steps
from flowyml_aws.planning.placement import Placement


def groups(*pairs: tuple[str, str | None]) -> tuple[StepGroup, ...]:
    steps = [step(name=name, execution_group=group)(lambda: None) for name, group in pairs]
    return group_steps(steps)


GROUPS = groups(("load", None), ("fit", "training"), ("score", "training"), ("report", None))


def backends_by_group(spec: str | Mapping[str, str]) -> dict[str, str]:
    placement = Placement.of(spec)
    assert not placement.problems(GROUPS)
    return {group.group_name: placement.backend_of(group) for group in GROUPS}


def problems_of(spec: Mapping[str, str]) -> list[str]:
    return [str(problem) for problem in Placement.of(spec).problems(GROUPS)]


def test_a_single_backend_is_used_for_every_group() -> None:
    assert set(backends_by_group("sagemaker").values()) == {"sagemaker"}
    assert Placement.of("sagemaker").name == "sagemaker"


def test_groups_and_single_steps_are_placed_by_name_and_others_by_default() -> None:
    spec = {"training": "sagemaker", "report": "sagemaker", "*": "batch"}
    assert backends_by_group(spec) == {
        "load": "batch",
        "training": "sagemaker",
        "report": "sagemaker",
    }
    assert Placement.of(spec).name == "batch+sagemaker"
    assert Placement.of(spec).backends == ("batch", "sagemaker")


def test_a_part_of_a_split_group_is_placed_with_the_whole_group_or_by_its_own_name() -> None:
    split = groups(("a", "g"), ("b", None), ("c", "g"))
    placement = Placement.of({"g": "sagemaker", "g_1": "batch", "*": "batch"})
    assert not placement.problems(split)
    assert [placement.backend_of(group) for group in split] == ["sagemaker", "batch", "batch"]


def test_an_unknown_name_is_an_error_that_names_the_nearest() -> None:
    (message,) = problems_of({"trainign": "sagemaker", "*": "batch"})
    assert "No group or single step 'trainign'" in message
    assert "did you mean 'training'?" in message


def test_a_step_inside_a_group_can_not_have_its_own_backend() -> None:
    (message,) = problems_of({"fit": "sagemaker", "*": "batch"})
    assert "name the group: 'training'" in message


def test_a_mapping_that_omits_groups_is_an_error_that_names_them() -> None:
    (message,) = problems_of({"training": "sagemaker"})
    assert "'load', 'report'" in message


def test_a_mapping_of_every_group_needs_no_default() -> None:
    spec = {"training": "sagemaker", "load": "batch", "report": "batch"}
    assert backends_by_group(spec)["training"] == "sagemaker"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sagemakr", "did you mean 'sagemaker'"),
        ({"training": "cloud", "*": "batch"}, "Unknown backend 'cloud'"),
        ({"training": "sagemaker", "*": "local"}, "can't be mixed"),
        ({}, "No backend is named"),
    ],
)
def test_an_invalid_backend_is_rejected(spec: str | Mapping[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Placement.of(spec)
