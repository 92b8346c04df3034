from __future__ import annotations

from collections.abc import Callable
from random import Random
from threading import RLock
from typing import Any

import pytest

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.clock import Clock
from flowyml_aws.testing.consistency import Listing, Propagation, Transitions

Eventually = Callable[..., Any]

SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def clock() -> Clock:
    """A clock that does not move by itself."""
    return Clock(RLock(), real_time=lambda: 0.0, epoch=0.0)


@pytest.fixture
def propagation(clock: Clock) -> Propagation:
    return Propagation(clock, 5.0, Random(0))


def test_a_change_takes_effect_within_the_longest_delay(
    clock: Clock, propagation: Propagation
) -> None:
    effects: list[float] = []
    for _ in range(50):
        propagation.spread(lambda: effects.append(clock.now()))
    assert effects == []
    clock.advance(5)
    assert len(effects) == 50
    assert 0 < min(effects) < 1 and 4 < max(effects) <= 5


def test_the_seed_decides_the_delays(clock: Clock) -> None:
    def delays(seed: int) -> list[float]:
        some, start, ends = Propagation(clock, 5.0, Random(seed)), clock.now(), []
        for _ in range(10):
            some.spread(lambda: ends.append(clock.now() - start))
        clock.advance(5)
        return ends

    assert delays(1) == pytest.approx(delays(1))
    assert delays(1) != pytest.approx(delays(2))


def test_without_a_delay_a_change_takes_effect_at_once(clock: Clock) -> None:
    listing: Listing[str] = Listing(Propagation(clock, 0.0, Random(0)))
    listing.record("a", "new")
    assert listing.entries() == ["new"]


def test_a_listing_shows_entries_in_the_order_of_their_creation(
    clock: Clock, propagation: Propagation
) -> None:
    listing: Listing[str] = Listing(propagation)
    for name in "abcdefgh":
        listing.record(name, name)
    assert listing.entries() == []
    seen = []
    while len(listing.entries()) < 8:
        clock.skip_delay()
        seen.append(listing.entries())
    assert [len(entries) for entries in seen] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert seen != sorted(seen)  # some earlier entries appear after later ones
    assert all(entries == sorted(entries) for entries in seen)


def test_the_states_of_an_entry_appear_in_their_order(
    clock: Clock, propagation: Propagation
) -> None:
    listing: Listing[int] = Listing(propagation)
    for state in range(20):
        listing.record("a", state)
    seen = []
    while listing.entries() != [19]:
        clock.skip_delay()
        seen += listing.entries()
    assert seen == sorted(seen)


def test_a_resource_leaves_its_temporary_state(clock: Clock) -> None:
    transitions = Transitions(Propagation(clock, 5.0, Random(0)))
    transitions.begin("a", "CREATING")
    assert (transitions.state("a"), transitions.state("b")) == ("CREATING", None)
    clock.advance(5)
    assert transitions.state("a") is None


def listed(batch: Any) -> list[str]:
    filters = [{"name": "JOB_NAME", "values": ["*"]}]
    page = batch.api.list_jobs(jobQueue="flowyml-emulator-cpu", filters=filters)
    return [f"{job['jobName']} {job['status']}" for job in page["jobSummaryList"]]


@pytest.mark.contract
def test_a_new_job_is_described_at_once_and_listed_later(aws: Emulator, batch: Any) -> None:
    busy = batch.submit(SLEEP, jobName="busy")  # the clock does not skip while it runs
    batch.wait_for_status(busy, "RUNNING")
    aws.advance(5)
    job = batch.submit(SLEEP, jobName="new")
    assert batch.job(job)["jobName"] == "new"
    assert listed(batch) == ["busy RUNNING"]
    batch.wait_for_status(job, "RUNNING")
    aws.advance(5)
    assert listed(batch) == ["new RUNNING", "busy RUNNING"]


@pytest.mark.contract
def test_a_new_training_job_is_described_at_once_and_listed_later(
    aws: Emulator, training: Any
) -> None:
    name = training.create(SLEEP)
    assert training.job(name)["TrainingJobStatus"] == "InProgress"
    assert training.api.list_training_jobs()["TrainingJobSummaries"] == []
    training.wait_for_status(name, "Training")
    aws.advance(5)
    (job,) = training.api.list_training_jobs()["TrainingJobSummaries"]
    assert (job["TrainingJobName"], job["SecondaryStatus"]) == (name, "Training")


@pytest.mark.contract
def test_a_client_that_waits_for_a_listing_does_not_wait_in_real_time(
    batch: Any, eventually: Eventually
) -> None:
    batch.ended(batch.submit(jobName="done"))
    eventually(lambda: listed(batch) == ["done SUCCEEDED"])
