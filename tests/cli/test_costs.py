"""`flowyml-aws costs` without an account; tests/aws has runs that cost something."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli
from tests.cli.mistakes import MISTAKE, assert_error
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.contract


def test_without_runs_on_aws_there_are_no_costs(rig: BackendRig, cli: Cli) -> None:
    assert cli("costs").out == "no runs on AWS in the last 30d\n"
    facts = cli("costs", "--json", "--by", "day", "--since", "2d").facts
    assert (facts["rows"], facts["total"]["counted_usd"], facts["by"]) == ([], 0.0, "day")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--by", "days"], ["Unknown --by 'days'", "did you mean 'day'"]),
        (["--since", "yesterday"], ["Invalid --since 'yesterday'"]),
        (["--billed", "--yes"], ["no account is set up"]),
    ],
)
def test_mistakes_are_errors(
    rig: BackendRig, cli: Cli, options: list[str], parts: list[str]
) -> None:
    assert_error(cli("costs", *options), MISTAKE, *parts)
