from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from flowyml_aws.aws.ec2.instance_types import DescribedTypes, read_specifications
from flowyml_aws.catalog.documents import Gpus, Specification, Specifications
from flowyml_aws.core.errors import AwsRefusedError

TODAY = date(2026, 11, 23)


def ec2_client() -> Any:
    return boto3.client(
        "ec2",
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def client_of(stub: Stubber) -> Any:
    return stub.client


@pytest.fixture
def ec2() -> Iterator[Stubber]:
    with Stubber(ec2_client()) as stub:
        yield stub
        stub.assert_no_pending_responses()


# One worker reads all of moto's types.
pytestmark = pytest.mark.xdist_group("instance-types")


@pytest.fixture(scope="module")
def all_types() -> Specifications:
    """Specifications from moto's copy of EC2's response."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        with mock_aws():
            described = read_specifications(ec2_client(), "us-east-1", TODAY)
    assert described.warnings == ()
    return described.specifications


def a_type(name: str = "m5.large", **members: Any) -> dict[str, Any]:
    return {
        "InstanceType": name,
        "BareMetal": False,
        "BurstablePerformanceSupported": False,
        "SupportedVirtualizationTypes": ["hvm"],
        "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
        "VCpuInfo": {"DefaultVCpus": 2},
        "MemoryInfo": {"SizeInMiB": 8192},
        "NetworkInfo": {"NetworkPerformance": "Up to 10 Gigabit"},
        **members,
    }


def gpu(name: str, count: int = 1, mib: int = 22888, **members: Any) -> dict[str, Any]:
    members = {"Manufacturer": "NVIDIA", "MemoryInfo": {"SizeInMiB": mib}, **members}
    return {"GpuInfo": {"Gpus": [{"Name": name, "Count": count, **members}]}}


def read_types(
    ec2: Stubber, *types: dict[str, Any], offered: tuple[str, ...] = ()
) -> DescribedTypes:
    ec2.add_response("describe_instance_types", {"InstanceTypes": list(types)})
    offerings = [{"InstanceType": name, "Location": "us-east-1"} for name in offered]
    ec2.add_response("describe_instance_type_offerings", {"InstanceTypeOfferings": offerings})
    return read_specifications(client_of(ec2), "us-east-1", TODAY)


def read_type(ec2: Stubber, described: dict[str, Any]) -> Specification:
    (specification,) = read_types(ec2, described).specifications.types
    return specification


def by_name(document: Specifications) -> dict[str, Specification]:
    return {specification.name: specification for specification in document.types}


def test_the_packaged_specifications_are_those_of_moto(all_types: Specifications) -> None:
    path = files("flowyml_aws.catalog") / "data" / "specifications.json"
    packaged = Specifications.model_validate_json(path.read_bytes())
    if not packaged.source.what.endswith(f"moto {version('moto')}"):
        pytest.skip(f"moto {version('moto')} is not the version of: {packaged.source.what}")
    assert packaged.types == all_types.types
    assert packaged.region == all_types.region


@pytest.mark.parametrize(
    ("name", "model", "count", "memory_mib", "fraction"),
    [
        ("g4dn.12xlarge", "t4", 4, 16384, 1),
        ("g5g.16xlarge", "t4g", 2, 16384, 1),
        ("g5.xlarge", "a10g", 1, 22888, 1),
        ("gr6.4xlarge", "l4", 1, 22888, 1),
        ("g6e.48xlarge", "l40s", 8, 45776, 1),
        ("g6f.large", "l4", 1, 2861, 0.125),
        ("g6f.2xlarge", "l4", 1, 5722, 0.25),
        ("gr6f.4xlarge", "l4", 1, 11444, 0.5),
        ("g7.48xlarge", "rtx-pro-4500", 8, 32768, 1),
        ("g7e.2xlarge", "rtx-pro-6000", 1, 98304, 1),
        ("p3dn.24xlarge", "v100", 8, 32768, 1),
        ("p4d.24xlarge", "a100", 8, 40960, 1),
        ("p5en.48xlarge", "h200", 8, 144384, 1),
        ("p6-b300.48xlarge", "b300", 8, 275040, 1),
    ],
)
def test_gpus(
    all_types: Specifications,
    name: str,
    model: str,
    count: int,
    memory_mib: int,
    fraction: float,
) -> None:
    expected = Gpus(model=model, count=count, memory_mib=memory_mib, fraction=fraction)
    assert by_name(all_types)[name].gpus == expected


@pytest.mark.parametrize(
    ("name", "accelerator", "count"),
    [
        ("trn1.32xlarge", "trainium", 16),
        ("trn2.48xlarge", "trainium2", 16),
        ("inf1.6xlarge", "inferentia", 4),
        ("inf2.24xlarge", "inferentia2", 6),
        ("dl2q.24xlarge", "qualcomm-ai100", 8),
    ],
)
def test_other_accelerators(
    all_types: Specifications, name: str, accelerator: str, count: int
) -> None:
    described = by_name(all_types)[name]
    assert (described.accelerator, described.accelerator_count, described.gpus) == (
        accelerator,
        count,
        None,
    )


def test_a_gaudi_is_not_a_gpu(ec2: Stubber) -> None:
    described = read_type(
        ec2, a_type("dl1.24xlarge", **gpu("Gaudi HL-205", 8, Manufacturer="Habana"))
    )
    assert (described.accelerator, described.accelerator_count, described.gpus) == (
        "gaudi",
        8,
        None,
    )


@pytest.mark.parametrize("name", ["t3.large", "m7i-flex.large", "c8i-flex.xlarge"])
def test_types_with_shared_vcpus_are_burstable(all_types: Specifications, name: str) -> None:
    assert by_name(all_types)[name].burstable


@pytest.mark.parametrize(
    ("name", "gbps"),
    [
        ("p4d.24xlarge", 400),
        ("p6-b200.48xlarge", 3200),
        ("m7i-flex.large", 12.5),
        ("c5.24xlarge", 25),
        ("c4.large", None),
    ],
)
def test_network_bandwidth_is_as_aws_documents_it(
    all_types: Specifications, name: str, gbps: float | None
) -> None:
    assert by_name(all_types)[name].network_gbps == gbps


def test_only_nvme_disks_count(all_types: Specifications) -> None:
    described = by_name(all_types)
    assert described["p4d.24xlarge"].nvme_gb == 8000
    assert described["m5.large"].nvme_gb == 0
    assert described["h1.2xlarge"].nvme_gb == 0  # a hard disk


def test_bare_metal_and_arm(all_types: Specifications) -> None:
    described = by_name(all_types)["m6g.metal"]
    assert (described.bare_metal, described.arch) == (True, "arm64")


def test_types_without_linux_or_with_only_paravirtual_images_are_left_out(
    all_types: Specifications,
) -> None:
    families = {specification.name.partition(".")[0] for specification in all_types.types}
    assert families.isdisjoint({"mac1", "mac2", "t1", "m1", "m3", "c3"})
    assert families >= {"m4", "c4", "r4", "t2"}  # the families of Batch's `optimal`


def test_types_are_sorted_by_family_and_size(all_types: Specifications) -> None:
    names = [
        specification.name
        for specification in all_types.types
        if specification.name.startswith("g4dn.")
    ]
    assert names[:3] == ["g4dn.xlarge", "g4dn.2xlarge", "g4dn.4xlarge"]
    assert names[-1] == "g4dn.metal"


def test_types_that_the_region_does_not_offer_are_marked(ec2: Stubber) -> None:
    described = read_types(ec2, a_type("m5.large"), a_type("p5e.48xlarge"), offered=("m5.large",))
    assert {
        specification.name: specification.offered
        for specification in described.specifications.types
    } == {
        "m5.large": True,
        "p5e.48xlarge": False,
    }


def test_all_pages_are_read_and_reported(ec2: Stubber) -> None:
    first = {"InstanceTypes": [a_type("m5.large")], "NextToken": "more"}
    ec2.add_response("describe_instance_types", first)
    ec2.add_response("describe_instance_types", {"InstanceTypes": [a_type("m5.xlarge")]})
    ec2.add_response("describe_instance_type_offerings", {"InstanceTypeOfferings": []})
    messages: list[str] = []
    described = read_specifications(client_of(ec2), "us-east-1", TODAY, messages.append)
    assert [specification.name for specification in described.specifications.types] == [
        "m5.large",
        "m5.xlarge",
    ]
    assert messages == ["EC2: 1 instance types", "EC2: 2 instance types"]


def test_a_type_with_an_unknown_gpu_is_left_out_and_named(ec2: Stubber) -> None:
    described = read_types(ec2, a_type(), a_type("g9.xlarge", **gpu("XYZ 9000")))
    assert [specification.name for specification in described.specifications.types] == ["m5.large"]
    (warning,) = described.warnings
    assert warning.startswith("g9.xlarge is left out")
    assert "'XYZ 9000'" in warning


def test_a_type_with_an_unknown_variant_of_a_gpu_is_left_out_and_named(ec2: Stubber) -> None:
    described = read_types(ec2, a_type(), a_type("p9.xlarge", **gpu("A100", 1, 99999)))
    assert [specification.name for specification in described.specifications.types] == ["m5.large"]
    (warning,) = described.warnings
    assert "its GPU 'A100' has 99999 MiB" in warning


def test_a_type_with_several_gpu_models_is_left_out_and_named(ec2: Stubber) -> None:
    two = {"GpuInfo": {"Gpus": [*gpu("L4")["GpuInfo"]["Gpus"], *gpu("T4")["GpuInfo"]["Gpus"]]}}
    described = read_types(ec2, a_type(), a_type("g9.xlarge", **two))
    (warning,) = described.warnings
    assert "L4, T4" in warning


def test_an_unreported_gpu_fraction_is_computed_from_the_memory(ec2: Stubber) -> None:
    part = a_type("g6f.xlarge", **gpu("L4", 0, 2861))
    described = read_types(ec2, a_type("g6.xlarge", **gpu("L4")), part).specifications
    gpus = by_name(described)["g6f.xlarge"].gpus
    assert gpus == Gpus(model="l4", count=1, memory_mib=2861, fraction=0.125)


def test_a_gpu_fraction_of_unknown_size_is_left_out(ec2: Stubber) -> None:
    described = read_types(ec2, a_type(), a_type("g6f.xlarge", **gpu("L4", 0, 2861)))
    assert "which part of a GPU 'L4'" in described.warnings[0]


def test_a_denied_call_names_the_permissions(ec2: Stubber) -> None:
    ec2.add_client_error("describe_instance_types", "UnauthorizedOperation", "no", 403)
    with pytest.raises(AwsRefusedError) as caught:
        read_specifications(client_of(ec2), "us-east-1", TODAY)
    assert "ec2:DescribeInstanceTypeOfferings" in caught.value.what
    assert "allow DescribeInstanceTypes" in caught.value.fix


def test_a_region_without_types_is_an_error(ec2: Stubber) -> None:
    with pytest.raises(AwsRefusedError, match="no instance types in us-east-1"):
        read_types(ec2)
