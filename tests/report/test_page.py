from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.report.data import Preview, RunReport
from flowyml_aws.report.page import to_html
from flowyml_aws.report.rendering import render
from flowyml_aws.report.tables import to_csv
from flowyml_aws.report.write import write_data, write_page
from tests.support.reports import HOSTILE, a_report, hostile_report

VENDOR = Path(__file__).parents[2] / "flowyml_aws" / "report" / "vendor"


class Tags(HTMLParser):
    """Collects the tags, the text and the scripts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def table_rows(page: str) -> list[list[str]]:
    """Return the text of the cells of all tables in a page."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)
    return [[Tags(cell).text for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows]


def scripts(page: str) -> list[str]:
    return re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)


def test_hostile_names_and_values_are_only_text() -> None:
    page = to_html(hostile_report())
    parsed = Tags(page)
    assert "img" not in {tag for tag, _ in parsed.tags}
    assert not [name for _, attributes in parsed.tags for name in attributes if name[:2] == "on"]
    assert "</script><img src=x onerror=alert(1)>\\u202e\\x00" in parsed.text
    assert "\u202e" not in page and "\x1b" not in page and "\0" not in page
    assert "{{7*7}}" in parsed.text  # never read as a template
    for packed in re.findall(r'id="(?:overview|part-\d+)">([^<]*)<', page):
        data = gzip.decompress(base64.b64decode(packed)).decode()
        assert "\u202e" not in json.dumps(json.loads(data), ensure_ascii=False)


def test_the_policy_allows_only_the_scripts_of_the_page() -> None:
    page = to_html(a_report(3, log_lines=1))
    (policy,) = (
        str(attributes["content"])
        for tag, attributes in Tags(page).tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "connect-src" not in policy and "unsafe-eval" not in policy
    allowed = set(re.findall("'sha256-([^']*)'", policy))
    (code,) = scripts(page)
    library = (VENDOR / "charts.js").read_text()
    for script in (code, library):
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert digest in allowed


def test_a_page_refers_to_nothing_outside() -> None:
    page = to_html(a_report(3, failed=True, log_lines=1))
    for tag, attributes in Tags(page).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert str(attributes.get("href", "#")).startswith("#")
        assert "src" not in attributes


def test_a_failed_run_begins_with_its_failure_and_its_fix() -> None:
    text = Tags(to_html(a_report(6, failed=True, log_lines=1))).text
    failure, summary = text.index("demand is negative in 3 of 1,200 rows"), text.index("Duration")
    assert failure < text.index("flowyml-aws resume forecast-") < summary


def test_the_summary_contains_cost_origin_and_parameters() -> None:
    text = Tags(to_html(a_report(6, log_lines=1))).text
    for part in (
        "$0.645, predicted $0.60",
        "1 attempt lost, $0.02",
        "ana on ana-laptop",
        "3f9a1c3f9a1c (main), 2 changed files",
        "learning_rate",
        "package-7 1.7",
    ):
        assert part in re.sub(r"\s+", " ", text)


@pytest.mark.parametrize(("jobs", "max_bytes"), [(50, 10**6), (1000, 6 * 10**6)])
def test_a_page_stays_below_its_maximum_size(jobs: int, max_bytes: int) -> None:
    page = to_html(a_report(jobs, failed=True, log_lines=2000 if jobs == 50 else 300))
    assert len(page.encode()) <= max_bytes
    assert "Curves: " in page and "Logs: " in page  # it says what is shortened


def test_a_large_run_is_aggregated() -> None:
    page = to_html(a_report(2300, failed=True, log_lines=1, periods=0))
    text = Tags(page).text
    assert "Rows for 2,000 of 2,300 jobs, failed ones first." in text
    assert page.count('class="job"') == 2000
    assert "2,297" in text  # in the table of all jobs


def test_long_errors_and_many_images_do_not_make_a_page_larger() -> None:
    report = a_report(50, failed=True, log_lines=1, periods=0)
    long = "x" * 10**7
    failure = report.failures[0].model_copy(update={"message": long, "traceback": long})
    data = random.Random(0).randbytes(20_000).hex()
    image = Preview(kind="image", image=f"data:image/png;base64,{data}")
    page = to_html(
        report.model_copy(
            update={
                "failures": (failure,),
                "jobs": tuple(j.model_copy(update={"reason": long}) for j in report.jobs),
                "assets": tuple(a.model_copy(update={"preview": image}) for a in report.assets),
            }
        )
    )
    assert len(page.encode()) <= 10**6
    assert "47 images." in page
    assert "9,983,616 characters left out" in page


def test_a_run_without_anything_has_a_page() -> None:
    report = a_report(1).model_copy(
        update={"jobs": (), "steps": (), "assets": (), "origin": None, "expected_s": None}
    )
    assert "<h1>" in to_html(report)


def test_an_unknown_value_in_a_template_is_an_error() -> None:
    with pytest.raises(Exception, match="undefined"):
        render("plan.html", scripts=())


def test_the_table_has_a_row_for_each_step_and_no_formulas() -> None:
    report = a_report(3, log_lines=1)
    steps = (report.steps[0].model_copy(update={"reason": "=1+1"}), *report.steps[1:])
    rows = list(csv.DictReader(io.StringIO(to_csv(report.model_copy(update={"steps": steps})))))
    assert [row["step"] for row in rows] == ["prepare", "score-1", "summarize"]
    assert rows[0]["reason"] == "'=1+1"
    assert rows[1]["job_lost_attempts"] == "1"
    assert float(rows[1]["job_lost_s"]) == 12.0
    assert rows[0]["output_bytes"] == "123456"


def test_data_is_written_by_the_ending_of_the_file(tmp_path: Path) -> None:
    report = hostile_report()
    path = write_data(report, tmp_path / "run.json")
    assert RunReport.model_validate_json(path.read_bytes()) == report
    assert HOSTILE in write_data(report, tmp_path / "run.csv").read_text().replace('""', '"')
    with pytest.raises(SettingsError, match=r"\.json, \.csv"):
        write_data(report, tmp_path / "run.xlsx")


def test_an_unwritable_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Can't write to"):
        write_page(a_report(1, log_lines=1), tmp_path / "no" / "such.html")


def test_vendored_files_are_those_of_the_readme() -> None:
    readme = (VENDOR / "README.md").read_text()
    lines = readme.split("```")[1].splitlines()[1:]
    listed = {name: digest for digest, name in map(str.split, lines)}
    files = [path for path in VENDOR.rglob("*") if path.is_file() and path.name != "README.md"]
    assert listed == {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    versions = json.loads((VENDOR / "package.json").read_text())["dependencies"]
    for name in ("echarts", "zrender", "@dagrejs/dagre", "@dagrejs/graphlib", "tslib"):
        assert f" {versions[name]} " in readme
