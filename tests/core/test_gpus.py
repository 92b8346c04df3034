from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.core.errors import UnknownGpuError
from flowyml_aws.core.gpus import gpu_models, parse_gpu_name

NAMES = sorted({model.name for model in gpu_models().values()})


@pytest.mark.parametrize(
    "spelling",
    ["a100", "A100", "nvidia-a100", "nvidia-tesla-a100", "NVIDIA A100", "Tesla_A100", "a100-sxm4"],
)
def test_every_alias_names_the_same_gpu(spelling: str) -> None:
    assert parse_gpu_name(spelling) == parse_gpu_name("a100")


def test_the_memory_in_a_name_is_read() -> None:
    assert parse_gpu_name("NVIDIA-A100-SXM4-80GB").memory_gb == 80
    assert parse_gpu_name("a100").memory_gb == 0


def test_the_larger_variant_of_a_model_is_the_better_one() -> None:
    assert parse_gpu_name("a100-80gb").strength > parse_gpu_name("a100").strength


@pytest.mark.parametrize(
    ("better", "worse"), list(pairwise(["b200", "h200", "h100", "a100", "v100", "t4", "k80"]))
)
def test_the_newer_flagship_is_the_better_gpu(better: str, worse: str) -> None:
    assert parse_gpu_name(better).strength > parse_gpu_name(worse).strength


def test_no_two_models_have_one_rank() -> None:
    ranks = [parse_gpu_name(name).model.rank for name in NAMES]
    assert sorted(ranks) == list(range(1, len(NAMES) + 1))


@pytest.mark.parametrize(
    ("spelling", "near"), [("a101", "a100"), ("nvidia-h10", "h100"), ("v-100", "v100")]
)
def test_an_unknown_gpu_is_an_error_with_the_nearest_names(spelling: str, near: str) -> None:
    with pytest.raises(UnknownGpuError) as caught:
        parse_gpu_name(spelling)
    assert spelling in caught.value.what
    assert near in caught.value.fix


@pytest.mark.parametrize("spelling", [None, 100, ["a100"], {"type": "a100"}])
def test_what_is_no_text_is_no_gpu(spelling: Any) -> None:
    with pytest.raises(UnknownGpuError):
        parse_gpu_name(spelling)


def test_more_memory_than_the_model_has_is_an_error_that_names_what_it_has() -> None:
    with pytest.raises(UnknownGpuError, match="40 GB and 80 GB"):
        parse_gpu_name("a100-96gb")


@given(st.sampled_from(NAMES), st.sampled_from(["", "nvidia-", "NVIDIA-Tesla-"]), st.booleans())
def test_every_model_is_found_by_every_spelling(name: str, prefix: str, upper: bool) -> None:
    spelling = prefix + name
    assert parse_gpu_name(spelling.upper() if upper else spelling).model.name == name
