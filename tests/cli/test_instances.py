"""`flowyml-aws instances` and `flowyml-aws plan --explain`, without an account."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli
from tests.cli.mistakes import write_file
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


def test_types_are_listed_with_their_prices_cheapest_first(cli: Cli) -> None:
    facts = cli("instances", *REQUEST, "--storage", "100Gi", "--json").facts
    assert [(f["instance_type"], f["price_usd_hour"]) for f in facts] == [
        ("p4d.24xlarge", 21.957642),
        ("p4de.24xlarge", 27.44705),
    ]
    assert {f["gpu_memory_gb"] for f in facts} == {40, 80}


def test_types_of_sagemaker_have_its_names_and_prices(cli: Cli) -> None:
    facts = cli("instances", "--gpu", "t4", "--backend", "sagemaker", "--json").facts
    assert facts[0]["instance_type"] == "ml.g4dn.xlarge"
    assert facts[0]["price_usd_hour"] == 0.7364
    prices = [fact["price_usd_hour"] for fact in facts]
    assert prices == sorted(prices)


def test_spot_prices_are_used_or_estimated_from_above(cli: Cli) -> None:
    facts = cli("instances", "--gpu", "t4", "--spot", "--json").facts
    bases = {fact["instance_type"]: fact["price_basis"] for fact in facts}
    assert set(bases.values()) <= {"spot", "at most"}
    assert facts[0]["instance_type"] == "g4dn.xlarge"


def test_a_required_label_filters_the_types(cli: Cli) -> None:
    facts = cli("instances", "--label", "kubernetes.io/arch=arm64", "--json").facts
    assert {fact["arch"] for fact in facts} == {"arm64"}


def test_the_table_is_limited_and_names_the_number_of_omitted_rows(cli: Cli) -> None:
    answer = cli("instances", "--cpu", "2", "--memory", "8Gi", "--most", "3")
    lines = answer.out.splitlines()
    assert lines[0].split()[:2] == ["instance", "type"]
    assert lines[1].startswith("r5a.large")
    assert len(lines) == 5
    assert "more: show all with --most" in lines[-1]
    assert "note: 7Gi memory instead of 8Gi memory would fit m5a.large" in answer.err


def test_no_matching_type_is_a_mistake_with_the_nearest_types(cli: Cli) -> None:
    answer = cli("instances", "--gpu", "a100:16", "--json")
    assert (answer.code, answer.facts) == (2, [])
    assert "at most 8 x a100 (p4d.24xlarge" in answer.err


def test_all_malformed_options_are_reported_at_once(cli: Cli) -> None:
    answer = cli("instances", "--cpu", "8x", "--memory", "lots", "--gpu", "nvidia-foo")
    assert answer.code == 2
    for value in ("'8x'", "'lots'", "'nvidia-foo'"):
        assert value in answer.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--gpu", "t4:two"), "the count 'two' is not an integer"),
        (("--gpu-memory", "16Gi"), "--gpu-memory 16Gi without --gpu"),
        (("--label", "arch"), "Invalid --label 'arch': expected LABEL=VALUE"),
        (("--backend", "local"), "no instance types"),
    ],
)
def test_an_invalid_option_is_a_mistake(cli: Cli, options: tuple[str, ...], message: str) -> None:
    answer = cli("instances", *options)
    assert answer.code == 2
    assert message in answer.err


@pytest.fixture
def file(rig: BackendRig) -> str:
    return write_file(PIPELINE, "tuned.py")


def test_explain_shows_candidates_and_the_reasons_for_rejections(cli: Cli, file: str) -> None:
    answer = cli("plan", file, "--explain", "train", "--backend", "batch")
    assert answer.code == 0
    assert "needs 1 x t4, 4 vCPUs, 12Gi memory" in answer.out
    assert "g4dn.xlarge" in answer.out
    assert "it has a10g, not t4: g5.*" in answer.out


def test_explain_with_json_prints_every_type(cli: Cli, file: str) -> None:
    facts = cli("plan", file, "--explain", "train", "--backend", "batch", "--json").facts
    assert facts["candidates"][0]["instance_type"] == "g4dn.xlarge"
    reasons = {r["instance_type"]: r["reason"] for r in facts["rejected"]}
    assert reasons["g5.xlarge"] == "it has a10g, not t4"


def test_explain_suggests_the_nearest_name_for_an_unknown_job(cli: Cli, file: str) -> None:
    answer = cli("plan", file, "--explain", "trian")
    assert answer.code == 2
    assert "did you mean 'train'?" in answer.err


def test_explain_is_a_mistake_on_this_machine(cli: Cli, file: str) -> None:
    answer = cli("plan", file, "--explain", "train", "--backend", "local")
    assert answer.code == 2
    assert "Backend 'local' has no instance types" in answer.err
    assert "--backend batch or sagemaker" in answer.err
