"""The verdict of `scripts/audit` about what pip-audit prints."""

from __future__ import annotations

import runpy
import stat
from pathlib import Path
from typing import Any

import pytest

AUDIT = Path(__file__).parents[1] / "scripts" / "audit"

VULNERABLE = """{"dependencies": [
  {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]},
  {"name": "b", "version": "3", "vulns": []}
]}"""
UNKNOWN = '{"dependencies": [{"name": "a", "skip_reason": "not found"}]}'


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [
        (VULNERABLE, 1, "2 packages audited, 1 vulnerabilities\n  a 1: CVE-1, fixed in 2"),
        (VULNERABLE.replace('{"id": "CVE-1", "fix_versions": ["2"]}', ""), 0, "0 vulnerabilities"),
        (UNKNOWN, 0, "skipped, no database of vulnerabilities can be reached\n  pypi: it knows"),
        ("", 0, "osv: no output"),
    ],
)
@pytest.mark.contract
def test_only_known_vulnerabilities_fail_the_audit(
    answer: str, status: int, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = tmp_path / "pip-audit"
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    script: dict[str, Any] = runpy.run_path(str(AUDIT))
    assert script["main"](str(tool), "constraints.txt") == status
    assert expected in capsys.readouterr().out
