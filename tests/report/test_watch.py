"""The page of a running run, served on this machine."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.report.data import RunReport
from flowyml_aws.report.watch import serving
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import RunState
from tests.support.browser import CHROMIUM, open_page
from tests.support.reports import a_report

RUNNING = a_report(4, log_lines=3, periods=0).model_copy(update={"state": RunState.RUNNING})


def ask(url: str, path: str = "", host: str | None = None) -> tuple[int, str]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=30)
    connection.request("GET", f"{parts.path}{path}", headers={"Host": host or parts.netloc})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@pytest.mark.contract
def test_only_who_knows_the_address_gets_the_page() -> None:
    with serving(lambda: RUNNING) as url:
        status, page = ask(url)
        assert status == 200 and "connect-src" in page and "forecast" in page
        assert ask(url, host="evil.example")[0] == 404
        assert ask(url.replace(urlsplit(url).path, "/"))[0] == 404
        assert ask(url, "../")[0] == 404
        facts = json.loads(ask(url, "version")[1])
        assert facts["ended"] is False and facts["version"]


@pytest.mark.contract
def test_an_outage_is_an_answer_without_a_page() -> None:
    def fail() -> RunReport:
        raise FlowymlError("The store does not answer", "an outage", "wait")

    with serving(fail) as url:
        assert ask(url)[0] == 503


@pytest.mark.system
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_shows_changes_and_keeps_what_is_open(
    tmp_path: Path,
) -> None:
    jobs = list(RUNNING.jobs)
    jobs[2] = jobs[2].model_copy(update={"state": JobState.RUNNING})
    answers = [RUNNING.model_copy(update={"jobs": tuple(jobs)})]
    with serving(lambda: answers[-1]) as url, open_page(tmp_path) as page:
        page.open(url)
        page.click("#job-1 > summary")
        page.wait_for("document.querySelector('#job-1[open] pre')")
        answers.append(RUNNING.model_copy(update={"state": RunState.SUCCEEDED}))
        page.wait_for("document.querySelector('#job-2')?.dataset.state === 'succeeded'")
        page.wait_for("document.querySelector('#job-1[open] pre')")
        assert page.messages == []
