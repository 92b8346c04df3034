from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.aws.names import batch_name

ACCEPTED = re.compile(r"[A-Za-z0-9][\w-]{0,127}", re.ASCII)  # AWS Batch API reference, SubmitJob

RUN = "digits-20261122-150531-3f9a1c"


def test_a_name_that_batch_accepts_stays_as_it_is() -> None:
    assert batch_name(RUN, "train_2-a") == f"{RUN}-train_2-a"


@given(st.text(), st.text(max_size=300))
def test_every_name_becomes_one_that_batch_accepts(run: str, job: str) -> None:
    if f"{run}-{job}" != "-":
        assert ACCEPTED.fullmatch(batch_name(run, job))


@given(st.text(max_size=300))
def test_the_same_name_is_always_mapped_alike(job: str) -> None:
    assert batch_name(RUN, job) == batch_name(RUN, job)


@pytest.mark.parametrize(
    ("one", "other"),
    [("a b", "a-b"), ("a.b", "a b"), ("été", "ete"), ("x" * 200 + "1", "x" * 200 + "2")],
)
def test_names_that_differ_stay_apart(one: str, other: str) -> None:
    assert batch_name(RUN, one) != batch_name(RUN, other)
