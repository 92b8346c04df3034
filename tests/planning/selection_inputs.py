"""Needs and targets for tests of the selection, with the packaged catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import pytest

from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.errors import NoInstanceFitsError
from flowyml_aws.core.quantities import Quantity
from flowyml_aws.core.resources import GPUConfig, ResourceRequirements
from flowyml_aws.planning.needs import Needs, needs_of
from flowyml_aws.planning.selection import select
from flowyml_aws.planning.targets import Taint, Target, offline_targets

REAL = load_catalog()
BATCH = offline_targets(REAL)
SAGEMAKER = offline_targets(REAL, "sagemaker")
TYPE = "node.kubernetes.io/instance-type"
ARCH = "kubernetes.io/arch"


def make_needs(
    cpu: Quantity | None = None,
    memory: Quantity | None = None,
    gpu: str | None = None,
    count: int = 1,
    gpu_memory: Quantity | None = None,
    storage: Quantity | None = None,
) -> Needs:
    gpu_config = None if gpu is None else GPUConfig(gpu, count, gpu_memory)
    return needs_of(ResourceRequirements(cpu=cpu, memory=memory, storage=storage, gpu=gpu_config))


def queue(
    name: str,
    *types: str,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Taint] = (),
    capacity: Literal["on-demand", "spot"] = "on-demand",
) -> Target:
    return Target(name, "batch", types, labels or {}, tuple(taints), capacity)


def no_fit_error(
    needs: Needs, targets: Sequence[Target], catalog: Catalog = REAL
) -> NoInstanceFitsError:
    with pytest.raises(NoInstanceFitsError) as caught:
        select(needs, targets, catalog)
    return caught.value
