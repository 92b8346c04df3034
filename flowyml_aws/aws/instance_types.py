"""The instance types of a region, as EC2 describes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import refused
from flowyml_aws.core.errors import AwsRefusedError, UnknownGpuError
from flowyml_aws.core.gpus import nominal_memory_gb, parse_gpu_name
from flowyml_aws.planning.catalog_documents import Gpus, Source, Specification, Specifications

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import GpuDeviceInfoTypeDef, InstanceTypeInfoTypeDef

__all__ = ["DescribedTypes", "offered_names", "read_specifications"]

_SOURCE = "EC2 DescribeInstanceTypes and DescribeInstanceTypeOfferings"
_NETWORK = re.compile(r"(?:Up to )?(?:(\d+)x )?(\d+(?:\.\d+)?) Gigabit")
_PAGE = 100


@dataclass(frozen=True, slots=True)
class DescribedTypes:
    """What EC2 told, and what of it could not be understood.

    Attributes:
        specifications: By family, smallest first.
        warnings: Instance types that are left out, each with the reason; a service that is not AWS.
    """

    specifications: Specifications
    warnings: tuple[str, ...]


class _Unclear(Exception):
    """A type that can't be described without guessing; says why."""


def read_specifications(
    ec2: EC2Client, region: str, today: date, progress: Callable[[str], None] = lambda _: None
) -> DescribedTypes:
    """Every instance type that Linux jobs can run on.

    Left out are Macs, and types of before 2014 that still boot paravirtual images: the images of
    ECS don't. A GPU that `core/gpus.json` does not have is named in the warnings.

    Args:
        ec2: Client of that region; it needs ec2:DescribeInstanceTypes and
            ec2:DescribeInstanceTypeOfferings.
        region: Its name.
        today: The source's date.
        progress: Told how far it is.

    Raises:
        AwsRefusedError: A call was denied, or the region has no instance types.
    """
    try:
        described = list(_described(ec2, progress))
        offered = offered_names(ec2)
    except (ClientError, BotoCoreError) as error:
        raise refused(
            error,
            f"read the instance types of {region} "
            "(ec2:DescribeInstanceTypes, ec2:DescribeInstanceTypeOfferings)",
        ) from error
    whole_gpu_mib = _whole_gpus(described)
    types, warnings = [], list(_not_aws(ec2.meta.endpoint_url))
    for info in described:
        if (arch := _arch(info)) is None or "paravirtual" in info["SupportedVirtualizationTypes"]:
            continue
        name = str(info["InstanceType"])
        try:
            types.append(_specification(info, arch, whole_gpu_mib, name in offered))
        except _Unclear as unclear:
            warnings.append(f"{name} is left out: {unclear}")
    if not types:
        raise AwsRefusedError(
            what=f"EC2 describes no instance types in {region}",
            why="its answer has none that Linux jobs can run on",
            fix="correct the region",
        )
    types.sort(key=_size)
    source = Source(what=_SOURCE, day=today)
    document = Specifications(region=region, source=source, types=tuple(types))
    return DescribedTypes(document, tuple(warnings))


def offered_names(ec2: EC2Client) -> set[str]:
    """The instance types that the client's region offers; the call's errors are botocore's."""
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(LocationType="region")
    return {
        str(offering["InstanceType"])
        for page in pages
        for offering in page["InstanceTypeOfferings"]
    }


def _not_aws(endpoint: str) -> Iterable[str]:
    host = urlsplit(endpoint).hostname or ""
    if not re.search(r"(^|\.)(amazonaws\.com(\.cn)?|api\.aws)$", host):
        yield f"all figures are those of {endpoint}, not of AWS: refresh again for an account"


def _size(one: Specification) -> tuple[str, int, bool, int, str]:
    family = one.name.partition(".")[0]
    return family, one.vcpus, one.bare_metal, one.memory_mib, one.name


def _described(
    ec2: EC2Client, progress: Callable[[str], None]
) -> Iterable[InstanceTypeInfoTypeDef]:
    told = 0
    pages = ec2.get_paginator("describe_instance_types").paginate(
        PaginationConfig={"PageSize": _PAGE}
    )
    for page in pages:
        told += len(page["InstanceTypes"])
        progress(f"EC2: {told} instance types")
        yield from page["InstanceTypes"]


def _specification(
    info: InstanceTypeInfoTypeDef,
    arch: Literal["x86_64", "arm64"],
    whole_gpu_mib: Mapping[str, int],
    offered: bool,
) -> Specification:
    name = str(info["InstanceType"])
    gpus, accelerator, count = _devices(info, whole_gpu_mib)
    network = info["NetworkInfo"].get("NetworkPerformance", "")
    # EC2 does not mark flex types, whose vCPUs are fully theirs for 95 % of a day only.
    flex = name.partition(".")[0].endswith("-flex")
    return Specification(
        name=name,
        vcpus=info["VCpuInfo"]["DefaultVCpus"],
        memory_mib=info["MemoryInfo"]["SizeInMiB"],
        arch=arch,
        gpus=gpus,
        accelerator=accelerator,
        accelerator_count=count,
        nvme_gb=_nvme_gb(info),
        network_gbps=_gbps(network),
        burstable=flex or info.get("BurstablePerformanceSupported", False),
        bare_metal=info.get("BareMetal", False),
        offered=offered,
    )


def _arch(info: InstanceTypeInfoTypeDef) -> Literal["x86_64", "arm64"] | None:
    told = info["ProcessorInfo"]["SupportedArchitectures"]
    if "x86_64" in told:
        return "x86_64"
    return "arm64" if "arm64" in told else None


def _nvme_gb(info: InstanceTypeInfoTypeDef) -> int:
    storage = info.get("InstanceStorageInfo") or {}
    is_nvme = storage.get("NvmeSupport", "unsupported") != "unsupported"
    return storage.get("TotalSizeInGB", 0) if is_nvme else 0


def _gbps(words: str) -> float | None:
    # Not the network cards' sum: for some types (p6-b200) it is far from what AWS documents.
    found = _NETWORK.fullmatch(words)
    return int(found[1] or 1) * float(found[2]) if found else None


def _devices(
    info: InstanceTypeInfoTypeDef, whole_gpu_mib: Mapping[str, int]
) -> tuple[Gpus | None, str | None, int]:
    """GPUs; or the other accelerator and how many of them."""
    told = _gpu_infos(info)
    if len(told) > 1:
        raise _Unclear(f"it has several kinds of GPUs: {', '.join(g['Name'] for g in told)}")
    if told:
        if told[0]["Manufacturer"] == "Habana":
            return None, "gaudi", told[0]["Count"]
        return _gpus(told[0], whole_gpu_mib), None, 0
    found = [
        *(info.get("NeuronInfo") or {}).get("NeuronDevices", ()),
        *(info.get("InferenceAcceleratorInfo") or {}).get("Accelerators", ()),
        *(info.get("FpgaInfo") or {}).get("Fpgas", ()),
        *(info.get("MediaAcceleratorInfo") or {}).get("Accelerators", ()),
    ]
    if not found:
        return None, None, 0
    # Inferentia is told twice: as a Neuron device, and as an inference accelerator.
    return None, re.sub(r"[^a-z0-9]+", "-", found[0]["Name"].lower()).strip("-"), found[0]["Count"]


def _gpus(told: GpuDeviceInfoTypeDef, whole_gpu_mib: Mapping[str, int]) -> Gpus:
    try:
        model = parse_gpu_name(told["Name"]).model.name
    except UnknownGpuError:
        raise _Unclear(
            f"this version of flowyml-aws does not know its GPU {told['Name']!r}"
        ) from None
    memory_mib = told["MemoryInfo"]["SizeInMiB"]
    # Of a part of a GPU, EC2 counts 0 devices; older versions of botocore drop how large it is.
    fraction = told.get("GpuPartitionSize")
    if fraction is None and told["Count"] == 0:
        if told["Name"] not in whole_gpu_mib:
            raise _Unclear(f"it is not told which part of a GPU {told['Name']!r} it has")
        fraction = memory_mib / whole_gpu_mib[told["Name"]]
    share = 1 if fraction is None else round(fraction, 4)
    try:
        nominal_memory_gb(model, round(memory_mib / share))
    except UnknownGpuError as unknown:
        raise _Unclear(f"its GPU {told['Name']!r} has {memory_mib} MiB; {unknown.why}") from None
    return Gpus(
        model=model,
        count=told["Count"] or told.get("LogicalGpuCount", 1),
        memory_mib=memory_mib,
        fraction=share,
    )


def _whole_gpus(described: Sequence[InstanceTypeInfoTypeDef]) -> Mapping[str, int]:
    """Memory of the whole GPU by EC2's name, as far as a type has it."""
    gpus = [gpu for info in described for gpu in _gpu_infos(info) if gpu["Count"] > 0]
    return {gpu["Name"]: gpu["MemoryInfo"]["SizeInMiB"] for gpu in gpus}


def _gpu_infos(info: InstanceTypeInfoTypeDef) -> Sequence[GpuDeviceInfoTypeDef]:
    return (info.get("GpuInfo") or {}).get("Gpus") or []
