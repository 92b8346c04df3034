from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.aws.names import batch_name, training_name

ACCEPTED = re.compile(r"[A-Za-z0-9][\w-]{0,127}", re.ASCII)  # AWS Batch API reference, SubmitJob

TRAINING = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # API reference, CreateTrainingJob

RUN = "digits-20261122-150531-3f9a1c"


def test_a_name_that_batch_accepts_is_not_changed() -> None:
    assert batch_name(RUN, "train_2-a") == f"{RUN}-train_2-a"


@given(st.text(), st.text(max_size=300))
def test_every_name_becomes_one_that_batch_accepts(run: str, job: str) -> None:
    if f"{run}-{job}" != "-":
        assert ACCEPTED.fullmatch(batch_name(run, job))


@given(st.text(max_size=300))
def test_the_same_name_always_becomes_the_same_name(job: str) -> None:
    assert batch_name(RUN, job) == batch_name(RUN, job)


@pytest.mark.parametrize(
    ("one", "other"),
    [("a b", "a-b"), ("a.b", "a b"), ("été", "ete"), ("x" * 200 + "1", "x" * 200 + "2")],
)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert batch_name(RUN, one) != batch_name(RUN, other)


def test_a_name_that_sagemaker_accepts_stays_readable_and_ends_with_the_attempt() -> None:
    assert training_name(RUN, "train-2", 1) == f"{RUN}-train-2-1"


@given(st.text(min_size=1, max_size=120), st.integers(1, 5))
def test_every_name_becomes_one_that_sagemaker_accepts_and_begins_with_the_run_id(
    job: str, attempt: int
) -> None:
    name = training_name(RUN, job, attempt)
    assert TRAINING.fullmatch(name)
    assert name.startswith(f"{RUN}-")


@given(
    st.lists(
        st.one_of(
            st.text("ab_-.1", min_size=1, max_size=12),
            st.text("ab_", min_size=40, max_size=60),
            st.integers(0, 99).map(lambda n: f"a_{n}"),
        ),
        unique=True,
        max_size=20,
    )
)
def test_jobs_and_attempts_never_share_a_training_job(jobs: list[str]) -> None:
    # Includes names that imitate the shortened names of other jobs.
    jobs = list(dict.fromkeys(f(job) for job in jobs for f in (str, _sagemaker_name)))
    names = [training_name(RUN, job, attempt) for job in jobs for attempt in range(1, 6)]
    assert len(set(names)) == len(names)


def _sagemaker_name(job: str) -> str:
    return training_name(RUN, job, 1).removeprefix(f"{RUN}-").removesuffix("-1")
