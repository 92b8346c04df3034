from __future__ import annotations

from flowyml_aws.planning.job_rows import job_names_text, job_rows, rows_by_job
from tests.support.maps import a_map_job
from tests.support.plans import a_job


def test_jobs_of_the_same_map_are_one_row_at_the_place_of_the_first() -> None:
    jobs = [a_job("load"), a_map_job(0, 4), a_map_job(5, 9), a_job("best")]
    rows = job_rows(jobs)
    assert [row.title for row in rows] == ["load", "train ×2", "best"]
    assert rows[1].jobs == tuple(jobs[1:3]) and rows[1].steps == ("train",)


def test_a_single_job_of_a_map_has_its_name() -> None:
    assert [row.title for row in job_rows([a_map_job(0, 4)])] == ["train-0-4"]


def test_jobs_of_single_items_have_the_name_without_the_number() -> None:
    assert [row.title for row in job_rows([a_map_job(7, 7), a_map_job(12, 12)])] == ["train ×2"]


def test_jobs_on_different_machines_are_different_rows_with_unique_titles() -> None:
    jobs = [a_map_job(0, 0), a_map_job(1, 1), a_map_job(2, 2, target="big")]
    jobs.append(a_map_job(3, 3, target="big"))
    rows = job_rows(jobs, lambda job: job.target)
    assert [row.title for row in rows] == ["train ×2", "train ×2 (2)"]


def test_waiting_for_all_jobs_of_a_row_is_its_title() -> None:
    jobs = [a_job("load"), *(a_map_job(number, number) for number in range(500))]
    rows = rows_by_job(job_rows(jobs))
    names = [job.name for job in jobs]
    assert job_names_text(names, rows) == "load, train ×500"
    assert job_names_text(names[1:4], rows) == "3 of train ×500"
    assert job_names_text(names[1:2], rows) == "train-0"
    assert job_names_text(["unknown"], rows) == "unknown"
