"""The selection compared with an oracle that tries every type, written from the rules alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import lru_cache
from operator import le
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.core.errors import NoInstanceFitsError
from flowyml_aws.core.gpus import gpu_models
from flowyml_aws.core.resources import GPUConfig, ResourceRequirements, merge_resources
from flowyml_aws.planning.needs import Needs, Toleration, needs_of
from flowyml_aws.planning.selection import MAX_TYPES, select
from flowyml_aws.planning.targets import Taint, Target
from tests.planning.selection_inputs import ARCH, BATCH, REAL, SAGEMAKER, no_fit_error
from tests.support.effort import examples

SPOT = (replace(BATCH[0], capacity="spot"),)


# Hypothesis examines each new strategy, which takes longer than to draw from it.
@lru_cache(None, typed=True)
def choice(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


families = st.sampled_from(["m5", "m6", "c6", "g4", "g5", "t3", "inf2", "m7g"])
training_prices = st.integers(1, 6).map(float)
prices = st.none() | training_prices
labels_of_targets = st.sampled_from([{}, {"pool": "a"}, {"pool": "b"}])


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    types = []
    for number, family in enumerate(draw(st.lists(families, min_size=1, max_size=9))):
        memory = draw(st.integers(4, 16))
        gpu = {"g4": "t4", "g5": draw(choice("a10g", "t4"))}.get(family)
        sagemaker = draw(st.booleans())
        priced = sagemaker and draw(st.booleans())
        types.append(
            InstanceType(
                name=f"{family}.{number}",
                vcpus=draw(st.integers(1, 8)),
                memory_mib=memory,
                usable_memory_mib=memory - draw(st.integers(0, 3)),
                arch="arm64" if family == "m7g" else "x86_64",
                gpu_model=gpu,
                gpu_count=draw(st.integers(1, 4)) if gpu else 0,
                gpu_memory_gb=draw(choice(16, 24)) if gpu else 0,
                gpu_fraction=draw(choice(1, 1, 0.5)) if gpu else 1,
                accelerator="inferentia2" if family == "inf2" else None,
                nvme_gb=draw(choice(0, 10, 40)),
                burstable=family == "t3",
                bare_metal=draw(choice(False, False, False, True)),
                price_usd_hour=draw(prices),
                spot_usd_hour=draw(prices),
                sagemaker_name=f"ml.{family}.{number}" if sagemaker else None,
                sagemaker_price_usd_hour=draw(training_prices) if priced else None,
                sagemaker_price_source="list" if priced else None,
            )
        )
    return Catalog("us-east-1", date(2026, 1, 1), date(2026, 1, 1), tuple(types))


@st.composite
def setups(draw: st.DrawFn) -> tuple[Catalog, tuple[Target, ...]]:
    catalog = draw(catalogs())
    names = [t.name for t in catalog.types]
    targets = [
        Target(
            name=f"target{number}",
            kind=draw(choice("batch", "batch", "sagemaker")),
            instance_types=tuple(draw(st.lists(st.sampled_from(names), min_size=1, unique=True))),
            labels=draw(labels_of_targets),
            taints=draw(choice((), (), (Taint("night", "yes"),))),
            capacity=draw(choice("on-demand", "on-demand", "spot")),
            placed_by=draw(choice("queue", "plan")),
        )
        for number in range(draw(st.integers(1, 3)))
    ]
    return catalog, tuple(targets)


@st.composite
def any_needs(draw: st.DrawFn) -> Needs:
    gpu = draw(choice(None, "t4", "a10g"))
    return Needs(
        vcpus=draw(st.integers(1, 6)),
        memory_mib=draw(st.integers(1, 14)),
        storage_gib=draw(choice(0, 0, 8, 20)),
        gpu_model=gpu,
        gpu_count=draw(st.integers(1, 3)) if gpu else 0,
        gpu_memory_gb=draw(choice(0, 16, 20)) if gpu else 0,
        required=draw(choice((), (), (("pool", "a"),), ((ARCH, "arm64"),))),
        tolerations=draw(choice((), (Toleration("night", "Exists"),))),
    )


class Fit(NamedTuple):
    """An instance type on a target that fits a job."""

    target: str
    type: str
    last_resort: bool
    price: float
    generation: int
    local_disks: bool

    @property
    def rank(self) -> tuple[bool, float, int]:
        return self.last_resort, self.price, -self.generation


def fitting_types(needs: Needs, targets: Sequence[Target], catalog: Catalog) -> Iterator[Fit]:
    """Yield every type that fits the job, in no particular order."""
    labels = dict(needs.required)
    arch = labels.pop(ARCH, "x86_64")
    allowed: list[tuple[Target, InstanceType]] = []
    for target in targets:
        types = [t for t in catalog.types if t.name in target.instance_types]
        if target.kind == "sagemaker":
            types = [t for t in types if t.sagemaker_name]
        elif needs.gpu_model and target.placed_by == "queue":
            # Every type that Batch could use must have the right GPUs.
            usable = [t for t in types if t.gpu_count >= needs.gpu_count]
            if any(
                t.gpu_model != needs.gpu_model
                or t.gpu_memory_gb < needs.gpu_memory_gb
                or t.gpu_fraction != 1
                for t in usable
            ):
                continue
        if any(target.labels.get(label) != value for label, value in labels.items()):
            continue
        if target.taints and not needs.tolerations:
            continue
        allowed += [(target, t) for t in types if t.arch == arch and not t.accelerator]
    if needs.gpu_model:
        allowed = [
            a for a in allowed if a[1].gpu_model == needs.gpu_model and a[1].gpu_fraction == 1
        ]
    elif any(t.gpu_model is None for _, t in allowed):
        allowed = [a for a in allowed if a[1].gpu_model is None]
    for target, t in allowed:
        on_sagemaker = target.kind == "sagemaker"
        memory = t.memory_mib if on_sagemaker else t.usable_memory_mib
        if t.vcpus < needs.vcpus or memory < needs.memory_mib or t.gpu_count < needs.gpu_count:
            continue
        if t.gpu_memory_gb < needs.gpu_memory_gb:
            continue
        if on_sagemaker and t.nvme_gb and t.nvme_gb * 1e9 < needs.storage_gib * 2**30:
            continue
        cost = t.sagemaker_price_usd_hour if on_sagemaker else t.price_usd_hour
        if target.capacity == "spot" and not on_sagemaker and t.spot_usd_hour is not None:
            cost = t.spot_usd_hour
        price = math.inf if cost is None else cost
        generation = int(re.sub(r"\D*(\d).*", r"\1", t.name))
        is_last_resort = t.burstable or t.bare_metal
        yield Fit(target.name, t.name, is_last_resort, price, generation, bool(t.nvme_gb))


@examples(250)
@given(setups(), any_needs())
def test_the_selected_type_fits_and_no_fitting_type_is_cheaper_or_newer_at_its_price(setup, needs):
    catalog, targets = setup
    fitting = list(fitting_types(needs, targets, catalog))
    if not fitting:
        no_fit_error(needs, targets, catalog)
        return
    selection = select(needs, targets, catalog)
    selected = [f for f in fitting if f[:2] == (selection.target.name, selection.instance.name)]
    assert len(selected) == 1
    assert selected[0].rank == min(f.rank for f in fitting)


@examples(200)
@given(setups(), any_needs())
def test_fallbacks_fit_and_no_better_type_is_omitted(setup, needs):
    catalog, targets = setup
    fitting = list(fitting_types(needs, targets, catalog))
    if not fitting:
        return
    selection = select(needs, targets, catalog)
    ranks = sorted(
        f.rank
        for f in fitting
        if f.target == selection.target.name
        # Either no type of a training job has local disks, or all have.
        and (selection.target.kind == "batch" or f.local_disks == bool(selection.instance.nvme_gb))
    )
    prices = [c.price_usd_hour for c in selection.fallbacks]
    is_last_resort = ranks[0][0]
    expected = [price for last, price, _ in ranks if last == is_last_resort][1:MAX_TYPES]
    assert [math.inf if price is None else price for price in prices] == expected
    assert (
        len({selection.instance_type, *(c.name for c in selection.fallbacks)}) == len(expected) + 1
    )


@examples(200)
@given(setups(), any_needs())
def test_candidates_are_exactly_the_fitting_types_and_all_others_are_rejected(setup, needs):
    catalog, targets = setup
    fitting = list(fitting_types(needs, targets, catalog))
    if not fitting:
        return
    selection = select(needs, targets, catalog)
    candidates = [(c.target.name, c.instance.name) for c in selection.candidates()]
    best = min(f.rank for f in fitting)
    expected = [f for f in fitting if f.last_resort == best[0]]
    assert sorted(candidates) == sorted(f[:2] for f in expected)
    rejected_targets = {r.target for r in selection.rejections() if r.instance_type is None}
    rejected_types = {
        (r.target, str(r.instance_type).removeprefix("ml.")) for r in selection.rejections()
    }
    for target in targets:
        for name in target.instance_types:
            assert (
                ((target.name, name) in candidates)
                + ((target.name, name) in rejected_types)
                + (target.name in rejected_targets)
            ) == 1


increases = st.tuples(
    st.integers(0, 3), st.integers(0, 6), st.sampled_from([0, 8]), st.integers(0, 8)
)


@examples(200)
@given(setups(), any_needs(), increases)
def test_a_job_that_requests_more_never_gets_a_cheaper_type(setup, needs, more):
    catalog, targets = setup
    larger = replace(
        needs,
        vcpus=needs.vcpus + more[0],
        memory_mib=needs.memory_mib + more[1],
        storage_gib=needs.storage_gib + more[2],
        gpu_memory_gb=needs.gpu_memory_gb + more[3] if needs.gpu_model else 0,
    )
    assert rank_of(needs, targets, catalog) <= rank_of(larger, targets, catalog)


@examples(100)
@given(
    st.sampled_from([BATCH, SAGEMAKER, SPOT]),
    st.sampled_from([None, "t4", "a10g", "l4", "v100", "a100", "h100"]),
    *[st.tuples(st.integers(1, 100), st.integers(0, 100)) for _ in range(3)],
    st.tuples(st.integers(1, 4), st.integers(0, 4)),
)
def test_with_the_real_catalog_larger_needs_never_cost_less(
    targets, gpu, cpu, memory, storage, count
):
    def needs(*amounts: int) -> Needs:
        vcpus, gib, disk, gpus = amounts
        return Needs(vcpus, gib * 4096, disk * 10, gpu, gpus if gpu else 0)

    small = needs(cpu[0], memory[0], storage[0], count[0])
    large = needs(sum(cpu), sum(memory), sum(storage), sum(count))
    assert rank_of(small, targets, REAL)[1] <= rank_of(large, targets, REAL)[1]


def rank_of(needs: Needs, targets: Sequence[Target], catalog: Catalog) -> tuple[bool, float]:
    """Return whether the selection is a last resort, and its price: infinite if unknown."""
    try:
        selection = select(needs, targets, catalog)
    except NoInstanceFitsError:
        return True, math.inf
    price, instance = selection.price_usd_hour, selection.instance
    is_last_resort = instance.burstable or instance.bare_metal
    return is_last_resort, math.inf if price is None else price


step_resources = st.builds(
    ResourceRequirements,
    cpu=st.sampled_from([None, "500m", "2", "7.5", 16]),
    memory=st.sampled_from([None, "512Mi", "7Gi", "30Gi", "120G"]),
    storage=st.sampled_from([None, "100Gi"]),
    gpu=st.none()
    | st.builds(
        GPUConfig,
        st.sampled_from(["t4", "nvidia-tesla-v100", "v100-32gb", "l40s-48gb", "a100", "A100-80GB"]),
        st.integers(1, 4),
        st.sampled_from([None, "16Gi", "24Gi"]),
    ),
)


def declared(step: ResourceRequirements) -> Needs:
    """Return the amounts that a step declares; defaults only apply if no step declares any."""
    needs = needs_of(step)
    return replace(
        needs,
        vcpus=0 if step.cpu is None else needs.vcpus,
        memory_mib=0 if step.memory is None else needs.memory_mib,
    )


def test_a_step_that_declares_no_memory_shares_what_its_group_declares():
    merged = merge_resources([ResourceRequirements(), ResourceRequirements(memory="512Mi")])
    assert needs_of(merged).memory_mib == 512


@examples(150)
@given(st.lists(step_resources, min_size=1, max_size=4), st.sampled_from([BATCH, SAGEMAKER]))
def test_the_type_selected_for_a_group_fits_each_of_its_steps(steps, targets):
    merged = merge_resources(steps)
    try:
        best = select(needs_of(merged), targets, REAL).best
    except NoInstanceFitsError:
        return  # the steps request more GPU memory than the best of their GPUs has
    for needs in map(declared, steps):
        assert all(map(le, needs.amounts, best.gives))
        if needs.gpu_model is not None:
            models = gpu_models()
            assert models[needs.gpu_model].rank >= models[str(best.instance.gpu_model)].rank
