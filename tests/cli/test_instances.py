"""`flowyml-aws instances` and `flowyml-aws plan --explain`, without an account."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli
from tests.cli.mistakes import written
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.usefixtures("rig")

REQUEST = ("--cpu", "8", "--memory", "32Gi", "--gpu", "nvidia-a100:2", "--gpu-memory", "40Gi")
PIPELINE = """
from flowyml_aws import GPUConfig, Pipeline, ResourceRequirements, step

@step(outputs=["model"], resources=ResourceRequirements("4", "12Gi", gpu=GPUConfig("nvidia-t4")))
def train():
    return 1

pipeline = Pipeline("tuned").add_step(train)
"""


def test_types_are_listed_from_the_cheapest_with_their_prices(cli: Cli) -> None:
    facts = cli("instances", *REQUEST, "--storage", "100Gi", "--json").facts
    assert [(f["instance_type"], f["price_usd_hour"]) for f in facts] == [
        ("p4d.24xlarge", 21.957642),
        ("p4de.24xlarge", 27.44705),
    ]
    assert {f["gpu_memory_gb"] for f in facts} == {40, 80}


def test_sagemaker_s_types_have_sagemaker_s_names_and_prices(cli: Cli) -> None:
    facts = cli("instances", "--gpu", "t4", "--backend", "sagemaker", "--json").facts
    assert facts[0]["instance_type"] == "ml.g4dn.xlarge"
    assert facts[0]["price_usd_hour"] == 0.7364
    prices = [fact["price_usd_hour"] for fact in facts]
    assert prices == sorted(prices)


def test_on_spot_the_price_on_spot_counts_and_an_unknown_one_is_bounded(cli: Cli) -> None:
    facts = cli("instances", "--gpu", "t4", "--spot", "--json").facts
    bases = {fact["instance_type"]: fact["price_basis"] for fact in facts}
    assert set(bases.values()) <= {"spot", "at most"}
    assert facts[0]["instance_type"] == "g4dn.xlarge"


def test_a_label_narrows_the_types(cli: Cli) -> None:
    facts = cli("instances", "--label", "kubernetes.io/arch=arm64", "--json").facts
    assert {fact["arch"] for fact in facts} == {"arm64"}


def test_the_table_is_cut_and_says_so(cli: Cli) -> None:
    answer = cli("instances", "--cpu", "2", "--memory", "8Gi", "--most", "3")
    lines = answer.out.splitlines()
    assert lines[0].split()[:2] == ["instance", "type"]
    assert lines[1].startswith("r5a.large")
    assert len(lines) == 5
    assert "more" in lines[-1]
    assert "note: 7Gi memory instead of 8Gi memory would fit m5a.large" in answer.err


def test_no_match_is_the_user_s_mistake_with_the_nearest_options(cli: Cli) -> None:
    answer = cli("instances", "--gpu", "a100:16", "--json")
    assert (answer.code, answer.facts) == (2, [])
    assert "at most 8 x a100 (p4d.24xlarge" in answer.err


def test_every_malformed_option_is_told_at_once(cli: Cli) -> None:
    answer = cli("instances", "--cpu", "8x", "--memory", "lots", "--gpu", "nvidia-foo")
    assert answer.code == 2
    for wrong in ("'8x'", "'lots'", "'nvidia-foo'"):
        assert wrong in answer.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--gpu", "t4:two"), "'two' is no whole number"),
        (("--gpu-memory", "16Gi"), "--gpu-memory 16Gi without --gpu"),
        (("--label", "arch"), "a label is LABEL=VALUE"),
        (("--backend", "local"), "no instance types"),
    ],
)
def test_a_wrong_option_is_told(cli: Cli, options: tuple[str, ...], told: str) -> None:
    answer = cli("instances", *options)
    assert answer.code == 2
    assert told in answer.err


@pytest.fixture
def file(rig: BackendRig) -> str:
    return written(PIPELINE, "tuned.py")


def test_explain_shows_what_fits_and_the_reason_against_the_rest(cli: Cli, file: str) -> None:
    answer = cli("plan", file, "--explain", "train")
    assert answer.code == 0
    assert "needs 1 x t4, 4 vCPUs, 12Gi memory" in answer.out
    assert "g4dn.xlarge" in answer.out
    assert "it has a10g, not t4: g5.*" in answer.out


def test_explain_gives_every_type_as_json(cli: Cli, file: str) -> None:
    facts = cli("plan", file, "--explain", "train", "--json").facts
    assert facts["candidates"][0]["instance_type"] == "g4dn.xlarge"
    reasons = {r["instance_type"]: r["reason"] for r in facts["rejected"]}
    assert reasons["g5.xlarge"] == "it has a10g, not t4"


def test_explain_names_the_jobs_where_the_job_is_unknown(cli: Cli, file: str) -> None:
    answer = cli("plan", file, "--explain", "trian")
    assert answer.code == 2
    assert "did you mean 'train'?" in answer.err


def test_there_is_nothing_to_explain_on_this_machine(cli: Cli, file: str) -> None:
    answer = cli("plan", file, "--explain", "train", "--backend", "local")
    assert answer.code == 2
    assert "no choice to explain" in answer.err
