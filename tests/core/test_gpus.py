from __future__ import annotations

import json
import re
from itertools import pairwise
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.core import gpus
from flowyml_aws.core.errors import UnknownGpuError
from flowyml_aws.core.gpus import gpu_models, nominal_memory_gb, parse_gpu_name
from flowyml_aws.core.resources import GPUConfig

TABLE = json.loads(Path(gpus.__file__).with_name("gpus.json").read_text("utf-8"))
NAMES = [row["model"] for row in TABLE["gpus"]]

SPELLINGS = [
    # GPU feature discovery and nvidia-smi
    ("NVIDIA-A100-SXM4-40GB", "a100", 40),
    ("NVIDIA-A100-SXM4-80GB", "a100", 80),
    ("A100-SXM4-80GB", "a100", 80),
    ("NVIDIA-A100-PCIE-40GB", "a100", 40),
    ("NVIDIA A100 80GB PCIe", "a100", 80),
    ("Tesla-V100-SXM2-16GB", "v100", 16),
    ("Tesla V100-SXM2-32GB", "v100", 32),
    ("Tesla-T4", "t4", 0),
    ("Tesla-T4-SHARED", "t4", 0),
    ("NVIDIA-Tesla-T4", "t4", 0),
    ("NVIDIA T4G", "t4g", 0),
    ("NVIDIA-A10G", "a10g", 0),
    ("NVIDIA-L4", "l4", 0),
    ("NVIDIA-L40S", "l40s", 0),
    ("NVIDIA-L40S-SHARED", "l40s", 0),
    ("NVIDIA-H100-80GB-HBM3", "h100", 80),
    ("NVIDIA-H100-PCIe", "h100", 0),
    ("NVIDIA-H200", "h200", 0),
    ("NVIDIA-B200", "b200", 0),
    ("NVIDIA-B300-SXM6-AC", "b300", 0),
    ("NVIDIA-GB200", "gb200", 0),
    ("NVIDIA GB200 NVL72", "gb200", 0),
    ("NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", "rtx-pro-6000", 0),
    ("NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition-SHARED", "rtx-pro-6000", 0),
    ("NVIDIA RTX PRO 4500 Blackwell Server Edition", "rtx-pro-4500", 0),
    ("Tesla K80", "k80", 0),
    # GKE
    ("nvidia-tesla-t4", "t4", 0),
    ("nvidia-tesla-t4-vws", "t4", 0),
    ("nvidia-tesla-v100", "v100", 0),
    ("nvidia-tesla-k80", "k80", 0),
    ("nvidia-tesla-a100", "a100", 40),
    ("nvidia-a100-80gb", "a100", 80),
    ("nvidia-l4", "l4", 0),
    ("nvidia-l4-vws", "l4", 0),
    ("nvidia-h100-80gb", "h100", 80),
    ("nvidia-h100-mega-80gb", "h100", 80),
    ("nvidia-h200-141gb", "h200", 141),
    ("nvidia-b200", "b200", 0),
    ("nvidia-gb200", "gb200", 0),
    ("nvidia-rtx-pro-6000", "rtx-pro-6000", 0),
    # Vertex AI
    ("NVIDIA_TESLA_A100", "a100", 40),
    ("NVIDIA_A100_80GB", "a100", 80),
    ("NVIDIA_TESLA_V100", "v100", 0),
    ("NVIDIA_L4", "l4", 0),
    ("NVIDIA_H100_80GB", "h100", 80),
    ("NVIDIA_H100_MEGA_80GB", "h100", 80),
    ("NVIDIA_H200_141GB", "h200", 141),
    ("NVIDIA_RTX_PRO_6000", "rtx-pro-6000", 0),
    # SkyPilot
    ("A100", "a100", 0),
    ("A100-80GB", "a100", 80),
    ("A100-80GB-SXM", "a100", 80),
    ("V100", "v100", 0),
    ("V100-32GB", "v100", 32),
    ("A10G", "a10g", 0),
    ("L40S", "l40s", 0),
    ("T4g", "t4g", 0),
    ("H100-MEGA", "h100", 0),
    ("H100-SXM", "h100", 0),
    ("RTXPRO6000", "rtx-pro-6000", 0),
    ("RTXPRO4500", "rtx-pro-4500", 0),
    # Karpenter and EC2's attributes
    ("a10g", "a10g", 0),
    ("l40s", "l40s", 0),
    ("rtx-pro-server-6000", "rtx-pro-6000", 0),
    ("rtx-pro-4500", "rtx-pro-4500", 0),
    ("radeon-pro-v520", "radeon-pro-v520", 0),
    # EC2's DescribeInstanceTypes
    ("RTX PRO Server 6000", "rtx-pro-6000", 0),
    ("RTX PRO 4500", "rtx-pro-4500", 0),
    ("Radeon Pro V520", "radeon-pro-v520", 0),
    # AWS documentation and other prose
    ("AMD Radeon Pro V520", "radeon-pro-v520", 0),
    ("NVIDIA A10G Tensor Core GPU", "a10g", 0),
    ("A100 80 GB", "a100", 80),
    ("a100-80g", "a100", 80),
    ("a100-40Gi", "a100", 40),
    ("Tesla-A100-80GB", "a100", 80),
    ("a100-60gb", "a100", 60),
    ("  t4 ", "t4", 0),
]


def error_for(spelling: str) -> UnknownGpuError:
    with pytest.raises(UnknownGpuError) as caught:
        parse_gpu_name(spelling)
    assert repr(spelling) in caught.value.what
    return caught.value


@pytest.mark.parametrize(("spelling", "model", "memory_gb"), SPELLINGS)
def test_common_spellings_are_parsed(spelling: str, model: str, memory_gb: int) -> None:
    name = parse_gpu_name(spelling)
    assert (name.model.name, name.memory_gb) == (model, memory_gb)


@given(
    st.sampled_from([spelling for spelling, _, _ in SPELLINGS]),
    st.lists(st.sampled_from(["-", "_", " ", "  "]), min_size=12, max_size=12),
    st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_case_and_separators_never_matter(
    spelling: str, separators: list[str], upper: list[bool]
) -> None:
    remaining = iter(separators)
    other = re.sub(r"[\s_-]+", lambda _: next(remaining), spelling.strip())
    other = "".join(c.upper() if up else c.lower() for c, up in zip(other, upper * 2, strict=False))
    assert parse_gpu_name(other) == parse_gpu_name(spelling)


@given(st.sampled_from(NAMES), st.sampled_from(["", "nvidia-", "NVIDIA-Tesla-"]))
def test_every_model_is_found_with_and_without_its_vendor(name: str, prefix: str) -> None:
    assert parse_gpu_name(prefix + name).model.name == name


def test_the_larger_variant_of_a_model_is_the_better_one() -> None:
    assert parse_gpu_name("a100-80gb").strength > parse_gpu_name("a100").strength


def test_the_old_name_of_the_40_gb_card_ranks_at_least_as_high_as_the_model() -> None:
    old, plain = GPUConfig("nvidia-tesla-a100"), GPUConfig("a100")
    assert old.merge_with(plain) == plain.merge_with(old) == old
    assert old.merge_with(GPUConfig("a100-80gb")).gpu_type == "a100-80gb"


@pytest.mark.parametrize(
    ("better", "worse"), list(pairwise(["b200", "h200", "h100", "a100", "v100", "t4", "k80"]))
)
def test_the_newer_flagship_is_the_better_gpu(better: str, worse: str) -> None:
    assert parse_gpu_name(better).strength > parse_gpu_name(worse).strength


def test_the_models_are_sorted_by_the_documented_key() -> None:
    def key(row: dict[str, Any]) -> tuple[bool, float, int, str]:
        largest = row["variants"][-1]
        tflops = row["dense_fp16_tflops"]
        score = sqrt(tflops * largest["memory_gb_s"]) if tflops else 0
        return (tflops is None, -score, -largest["memory_gb"], row["model"])

    assert [row["model"] for row in sorted(TABLE["gpus"], key=key)] == NAMES
    ranks = [parse_gpu_name(name).model.rank for name in NAMES]
    assert ranks == list(range(1, len(NAMES) + 1))


def test_the_documented_table_matches_the_data() -> None:
    text = Path(__file__).parents[2].joinpath("docs", "gpus.md").read_text("utf-8")
    documented = re.findall(r"^\| (\d+) \| `([^`]+)` \| ([^|]+) \| ([^|]+) \|", text, re.MULTILINE)
    assert documented == [
        (
            str(rank),
            row["model"],
            " and ".join(f"{variant['memory_gb']} GB" for variant in row["variants"]),
            ", ".join(family for v in row["variants"] for family in v["families"]),
        )
        for rank, row in enumerate(TABLE["gpus"], 1)
    ]


def test_every_figure_has_a_source() -> None:
    assert {row["source"] for row in TABLE["gpus"]} <= TABLE["sources"].keys()
    assert all(source["what"] and source["date"] for source in TABLE["sources"].values())


def test_every_variant_of_a_model_beats_every_one_of_a_worse_model() -> None:
    scores = [
        [sqrt(row["dense_fp16_tflops"] * v["memory_gb_s"]) for v in row["variants"]]
        for row in TABLE["gpus"]
        if row["dense_fp16_tflops"]
    ]
    assert all(min(better) >= max(worse) for better, worse in pairwise(scores))


def test_a_family_of_instance_types_has_one_accelerator() -> None:
    families = [f for row in TABLE["gpus"] for v in row["variants"] for f in v["families"]]
    families += [family for row in TABLE["other_accelerators"] for family in row["families"]]
    assert len(families) == len(set(families))


@pytest.mark.parametrize(
    ("model", "reported_mib", "memory_gb"),
    [
        ("A100", 40960, 40),
        ("A100", 81920, 80),
        ("V100", 16384, 16),
        ("V100", 32768, 32),
        ("A10G", 22888, 24),
        ("A10G", 24576, 24),
        ("L4", 22888, 24),
        ("L40S", 45776, 48),
        ("H200", 144384, 141),
        ("B200", 183359, 192),
        ("B300", 275040, 288),
        ("RTX PRO Server 6000", 98304, 96),
    ],
)
def test_memory_that_ec2_reports_is_converted_to_the_vendors_gigabytes(
    model: str, reported_mib: int, memory_gb: int
) -> None:
    assert nominal_memory_gb(model, reported_mib) == memory_gb


@pytest.mark.parametrize("model", sorted({m.name for m in gpu_models().values()}))
def test_variants_are_distinguished_by_their_reported_memory(model: str) -> None:
    known = gpu_models()[model]
    assert tuple(nominal_memory_gb(model, mib) for mib in known.reported_mib) == known.memory_gb


def test_an_unknown_variant_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UnknownGpuError, match="40960 MiB and 81920 MiB"):
        nominal_memory_gb("A100", 60000)


@pytest.mark.parametrize(
    ("spelling", "fix"),
    [
        ("a101", " a100 "),
        ("nvidia-a1000", "did you mean nvidia-a100 "),
        ("NVIDIA_A1000", "did you mean NVIDIA_A100 "),
        ("nvidia-h10", "did you mean nvidia-h100"),
        ("h-100", "did you mean h100?"),
        ("v-100", "did you mean v100?"),
        ("rtx pro6000", "did you mean rtx pro 6000?"),
        ("radeon-v52", "did you mean radeon-pro-v520?"),
        ("zzz", "use one of these names"),
        ("nvidia", "use one of these names"),
        ("", "use one of these names"),
    ],
)
def test_an_unknown_gpu_is_an_error_with_similar_names_in_the_users_style(
    spelling: str, fix: str
) -> None:
    error = error_for(spelling)
    assert fix in error.fix
    assert all(name in error.why for name in NAMES)


@pytest.mark.parametrize(
    ("spelling", "why", "fix"),
    [
        ("a10", "AWS offers no A10; its variant of that card is a10g", "write a10g"),
        ("NVIDIA-A10", "AWS offers no A10", "write NVIDIA-A10G"),
        ("rtx-4090", "no GeForce", "write l4 or"),
        ("NVIDIA-GeForce-RTX-3090", "no GeForce", "write NVIDIA-L4 or"),
        ("gtx", "no GeForce", "l4"),
        ("nvidia-tesla-p100", "no Pascal", "nvidia-v100"),
        ("nvidia-tesla-p4", "no P4", "nvidia-t4"),
        ("m60", "no longer describes", "t4"),
        ("h800", "no H800", "h100"),
        ("mi300x", "no AMD Instinct", "h100"),
        ("AMD_Instinct_MI300X_OAM", "no AMD Instinct", "h100"),
        ("tpu-v5-lite-podslice", "Google", "a100"),
        ("gb300", "no type with a GB300", "b300"),
    ],
)
def test_a_gpu_that_aws_lacks_is_an_error_with_alternatives(
    spelling: str, why: str, fix: str
) -> None:
    error = error_for(spelling)
    assert why in error.why
    assert fix in error.fix


def test_every_suggested_alternative_is_a_known_model() -> None:
    instead = [name for row in TABLE["not_on_aws"] for name in row["instead"]]
    assert all(parse_gpu_name(name).model.name == name for name in instead)


@pytest.mark.parametrize("name", sorted(gpu_models()))
def test_no_known_model_is_listed_as_missing(name: str) -> None:
    assert not any(re.fullmatch(row["names"], name) for row in TABLE["not_on_aws"])


@pytest.mark.parametrize(
    ("spelling", "accelerator", "instance_type"),
    [
        ("trainium", "trainium", "trn1.32xlarge"),
        ("neuron", "trainium", "trn1.32xlarge"),
        ("AWS_Trainium2", "trainium2", "trn2.48xlarge"),
        ("trn2", "trainium2", "trn2.48xlarge"),
        ("ml.trn1.2xlarge", "trainium", "trn1.2xlarge"),
        ("inferentia", "inferentia", "inf1.6xlarge"),
        ("inf2.xlarge", "inferentia2", "inf2.xlarge"),
        ("gaudi", "gaudi", "dl1.24xlarge"),
        ("Gaudi HL-205", "gaudi", "dl1.24xlarge"),
    ],
)
def test_the_error_for_another_accelerator_suggests_its_instance_type(
    spelling: str, accelerator: str, instance_type: str
) -> None:
    error = error_for(spelling)
    assert error.why == f"{accelerator} is an accelerator, not a GPU"
    assert f'NodeAffinity(required={{"node.kubernetes.io/instance-type": "{instance_type}"}})' in (
        error.fix
    )


@pytest.mark.parametrize(
    ("spelling", "why", "gpu", "label"),
    [
        ("p4d", "an instance family, not a GPU", "a100-40gb", "p4d.<size>"),
        ("p6-b200", "an instance family, not a GPU", "b200", "p6-b200.<size>"),
        ("P4DE.24xlarge", "an instance type, not a GPU", "a100-80gb", "p4de.24xlarge"),
        ("g5.xlarge", "an instance type, not a GPU", "a10g", "g5.xlarge"),
        ("ml.p3.2xlarge", "an instance type, not a GPU", "v100-16gb", "p3.2xlarge"),
        ("g4dn.metal", "an instance type, not a GPU", "t4", "g4dn.metal"),
        ("m5.xlarge", "an instance type, not a GPU", "the name of a GPU", "m5.xlarge"),
    ],
)
def test_the_error_for_an_instance_type_names_its_gpu(
    spelling: str, why: str, gpu: str, label: str
) -> None:
    error = error_for(spelling)
    assert f"this is {why}" in error.why
    assert error.fix.startswith(f"write {gpu};")
    assert f'"node.kubernetes.io/instance-type": "{label}"' in error.fix


@pytest.mark.parametrize(
    ("spelling", "card"),
    [
        ("NVIDIA-A100-SXM4-80GB-MIG-3g.40gb", "NVIDIA-A100-SXM4-80GB"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "NVIDIA A100-SXM4-40GB"),
        ("mig-1g.5gb", "nvidia-a100-80gb"),
        ("h100-2g.20gb", "h100"),
    ],
)
def test_the_error_for_a_gpu_slice_suggests_the_whole_card(spelling: str, card: str) -> None:
    error = error_for(spelling)
    assert "slice of a GPU (MIG)" in error.why
    assert error.fix == f"request the whole card: {card}"


def test_the_error_for_a_count_in_the_name_suggests_the_argument() -> None:
    assert error_for("A100:8").fix == 'write GPUConfig("A100", count=8)'


@pytest.mark.parametrize("spelling", [None, 100, ["a100"], {"type": "a100"}])
def test_a_gpu_name_must_be_a_string(spelling: Any) -> None:
    with pytest.raises(UnknownGpuError, match=f"got {type(spelling).__name__}"):
        parse_gpu_name(spelling)


def test_more_memory_than_the_model_has_is_an_error_with_alternatives() -> None:
    error = error_for("nvidia-a100-96gb")
    assert error.why == "a100 is available with 40 GB and 80 GB, not with 96 GB"
    assert error.fix == (
        "write nvidia-a100-80gb, "
        "or a GPU with enough memory: nvidia-rtx-pro-6000 or nvidia-h200 or nvidia-b200"
    )


def test_more_memory_than_any_gpu_has_is_an_error_with_the_models_largest() -> None:
    assert error_for("a100-9999gb").fix == "write a100-80gb"
