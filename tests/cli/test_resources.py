from __future__ import annotations

import pytest

from flowyml_aws.cli.resources import step_resources
from flowyml_aws.core.errors import SettingsError


def test_resources_are_read_by_step() -> None:
    options = ["train=memory=64Gi,cpu=8", "train=storage=10Gi", "load=gpu=nvidia-t4,gpu_count=2"]
    assert step_resources(options) == {
        "train": {"memory": "64Gi", "cpu": "8", "storage": "10Gi"},
        "load": {"gpu": {"gpu_type": "nvidia-t4", "count": 2}},
    }
    assert step_resources(["a=gpu=t4"]) == {"a": {"gpu": {"gpu_type": "t4", "count": 1}}}


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("train", "expected STEP=NAME=VALUE"),
        ("=memory=1Gi", "expected STEP=NAME=VALUE"),
        ("train=memory", "expected STEP=NAME=VALUE"),
        ("train=memory=", "expected STEP=NAME=VALUE"),
        ("train=memory=1Gi,", "expected STEP=NAME=VALUE"),
        ("train=memroy=1Gi", "did you mean 'memory'"),
        ("train=gpu_count=2", "gpu_count without gpu"),
        ("train=gpu=t4,gpu_count=two", "whole number"),
    ],
)
def test_a_malformed_option_is_an_error_with_an_example(option: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        step_resources([option])
    assert hint in str(caught.value)
