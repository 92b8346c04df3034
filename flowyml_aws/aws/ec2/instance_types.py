"""Instance types of a region, as EC2 describes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import refused
from flowyml_aws.catalog.documents import Gpus, Source, Specification, Specifications
from flowyml_aws.core.errors import AwsRefusedError, UnknownGpuError
from flowyml_aws.core.gpus import nominal_memory_gb, parse_gpu_name

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import GpuDeviceInfoTypeDef, InstanceTypeInfoTypeDef

__all__ = ["DescribedTypes", "offered_names", "read_specifications"]

_SOURCE = "EC2 DescribeInstanceTypes and DescribeInstanceTypeOfferings"
_NETWORK = re.compile(r"(?:Up to )?(?:(\d+)x )?(\d+(?:\.\d+)?) Gigabit")
_PAGE = 100


@dataclass(frozen=True, slots=True)
class DescribedTypes:
    """Instance types that EC2 describes, with warnings.

    Attributes:
        specifications: Specifications by family, smallest first.
        warnings: Instance types that are left out, each with the reason.
    """

    specifications: Specifications
    warnings: tuple[str, ...]


class _AmbiguousTypeError(Exception):
    """An instance type that can't be described without guessing; the message is the reason."""


def read_specifications(
    ec2: EC2Client, region: str, today: date, progress: Callable[[str], None] = lambda _: None
) -> DescribedTypes:
    """Read all instance types that Linux jobs can run on.

    Macs are left out, and so are types from before 2014 that boot paravirtual images, which ECS
    images are not. The warnings name each GPU that `core/gpus.json` does not contain.

    Args:
        ec2: EC2 client of the region; it needs ec2:DescribeInstanceTypes and
            ec2:DescribeInstanceTypeOfferings.
        region: Name of the region.
        today: Date of the source.
        progress: Called with progress messages.

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
    whole_gpu_mib = _whole_gpu_memory(described)
    types, warnings = [], []
    for info in described:
        if (arch := _arch(info)) is None or "paravirtual" in info["SupportedVirtualizationTypes"]:
            continue
        name = str(info["InstanceType"])
        try:
            types.append(_specification(info, arch, whole_gpu_mib, name in offered))
        except _AmbiguousTypeError as error:
            warnings.append(f"{name} is left out: {error}")
    if not types:
        raise AwsRefusedError(
            what=f"EC2 describes no instance types in {region}",
            why="its response contains no type that Linux jobs can run on",
            fix="correct the region",
        )
    types.sort(key=_size)
    source = Source(what=_SOURCE, day=today)
    document = Specifications(region=region, source=source, types=tuple(types))
    return DescribedTypes(document, tuple(warnings))


def offered_names(ec2: EC2Client) -> set[str]:
    """Return the instance types that the client's region offers. Raises botocore's errors."""
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(LocationType="region")
    return {
        str(offering["InstanceType"])
        for page in pages
        for offering in page["InstanceTypeOfferings"]
    }


def _size(specification: Specification) -> tuple[str, int, bool, int, str]:
    family = specification.name.partition(".")[0]
    return (
        family,
        specification.vcpus,
        specification.bare_metal,
        specification.memory_mib,
        specification.name,
    )


def _described(
    ec2: EC2Client, progress: Callable[[str], None]
) -> Iterable[InstanceTypeInfoTypeDef]:
    count = 0
    pages = ec2.get_paginator("describe_instance_types").paginate(
        PaginationConfig={"PageSize": _PAGE}
    )
    for page in pages:
        count += len(page["InstanceTypes"])
        progress(f"EC2: {count} instance types")
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
    # EC2 does not mark flex types, which have their full vCPUs for only 95 % of a day.
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
        efa=info["NetworkInfo"].get("EfaSupported", False),
        burstable=flex or info.get("BurstablePerformanceSupported", False),
        bare_metal=info.get("BareMetal", False),
        offered=offered,
    )


def _arch(info: InstanceTypeInfoTypeDef) -> Literal["x86_64", "arm64"] | None:
    architectures = info["ProcessorInfo"]["SupportedArchitectures"]
    if "x86_64" in architectures:
        return "x86_64"
    return "arm64" if "arm64" in architectures else None


def _nvme_gb(info: InstanceTypeInfoTypeDef) -> int:
    storage = info.get("InstanceStorageInfo") or {}
    is_nvme = storage.get("NvmeSupport", "unsupported") != "unsupported"
    return storage.get("TotalSizeInGB", 0) if is_nvme else 0


def _gbps(performance: str) -> float | None:
    # Not the sum of the network cards: for some types (p6-b200) it contradicts the documentation.
    match = _NETWORK.fullmatch(performance)
    return int(match[1] or 1) * float(match[2]) if match else None


def _devices(
    info: InstanceTypeInfoTypeDef, whole_gpu_mib: Mapping[str, int]
) -> tuple[Gpus | None, str | None, int]:
    """Return the GPUs, or another accelerator and the number of its devices."""
    gpus = _gpu_infos(info)
    if len(gpus) > 1:
        raise _AmbiguousTypeError(
            f"it has several GPU models: {', '.join(g['Name'] for g in gpus)}"
        )
    if gpus:
        if gpus[0]["Manufacturer"] == "Habana":
            return None, "gaudi", gpus[0]["Count"]
        return _gpus(gpus[0], whole_gpu_mib), None, 0
    devices = [
        *(info.get("NeuronInfo") or {}).get("NeuronDevices", ()),
        *(info.get("InferenceAcceleratorInfo") or {}).get("Accelerators", ()),
        *(info.get("FpgaInfo") or {}).get("Fpgas", ()),
        *(info.get("MediaAcceleratorInfo") or {}).get("Accelerators", ()),
    ]
    if not devices:
        return None, None, 0
    # Inferentia is listed twice: as a Neuron device, and as an inference accelerator.
    name = re.sub(r"[^a-z0-9]+", "-", devices[0]["Name"].lower()).strip("-")
    return None, name, devices[0]["Count"]


def _gpus(gpu: GpuDeviceInfoTypeDef, whole_gpu_mib: Mapping[str, int]) -> Gpus:
    try:
        model = parse_gpu_name(gpu["Name"]).model.name
    except UnknownGpuError:
        raise _AmbiguousTypeError(
            f"this version of flowyml-aws does not know its GPU {gpu['Name']!r}"
        ) from None
    memory_mib = gpu["MemoryInfo"]["SizeInMiB"]
    # For a part of a GPU, EC2 reports 0 devices; older versions of botocore drop its size.
    fraction = gpu.get("GpuPartitionSize")
    if fraction is None and gpu["Count"] == 0:
        if gpu["Name"] not in whole_gpu_mib:
            raise _AmbiguousTypeError(
                f"EC2 does not report which part of a GPU {gpu['Name']!r} it has"
            )
        fraction = memory_mib / whole_gpu_mib[gpu["Name"]]
    share = 1 if fraction is None else round(fraction, 4)
    try:
        nominal_memory_gb(model, round(memory_mib / share))
    except UnknownGpuError as unknown:
        raise _AmbiguousTypeError(
            f"its GPU {gpu['Name']!r} has {memory_mib} MiB; {unknown.why}"
        ) from None
    return Gpus(
        model=model,
        count=gpu["Count"] or gpu.get("LogicalGpuCount", 1),
        memory_mib=memory_mib,
        fraction=share,
    )


def _whole_gpu_memory(described: Sequence[InstanceTypeInfoTypeDef]) -> Mapping[str, int]:
    """Return the memory of whole GPUs in MiB by EC2's name, for GPUs that a type has whole."""
    gpus = [gpu for info in described for gpu in _gpu_infos(info) if gpu["Count"] > 0]
    return {gpu["Name"]: gpu["MemoryInfo"]["SizeInMiB"] for gpu in gpus}


def _gpu_infos(info: InstanceTypeInfoTypeDef) -> Sequence[GpuDeviceInfoTypeDef]:
    return (info.get("GpuInfo") or {}).get("Gpus") or []
