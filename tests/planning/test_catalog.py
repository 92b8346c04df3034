from __future__ import annotations

import json
import pickle
from datetime import date
from importlib.resources import files
from typing import Any

import pytest

from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.gpus import gpu_models
from flowyml_aws.planning.catalog import (
    InstanceType,
    InvalidCatalogError,
    load_catalog,
    read_catalog,
)

M5_LARGE = {"name": "m5.large", "vcpus": 2, "memory_mib": 8192, "usable_memory_mib": 7700}
G4DN = {
    "name": "g4dn.xlarge",
    "vcpus": 4,
    "memory_mib": 16384,
    "usable_memory_mib": 15589,
    "gpu_model": "t4",
    "gpu_count": 1,
    "gpu_memory_gb": 16,
}


def document(*types: object, **header: object) -> str:
    """A catalog as it stands in a file: the first type is on line 9."""
    head = {
        "version": 1,
        "region": "us-east-1",
        "specifications_date": "2026-10-27",
        "prices_date": "2026-07-20",
        "sources": {},
        "sagemaker_price_sources": {"estimate": "calculated"},
        **header,
    }
    lines = [f'  "{name}": {json.dumps(value)},' for name, value in head.items()]
    rows = ",\n".join(f"    {json.dumps(row)}" for row in types)
    return "\n".join(["{", *lines, '  "types": [', rows, "  ]", "}"])


def instance(name: str) -> InstanceType:
    found = load_catalog().get(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("family", "model", "gb"),
    [
        ("p3", "v100", 16),
        ("p3dn", "v100", 32),
        ("p4d", "a100", 40),
        ("p4de", "a100", 80),
        ("p5", "h100", 80),
        ("p5e", "h200", 141),
        ("p5en", "h200", 141),
        ("p6-b200", "b200", 192),
        ("p6-b300", "b300", 288),
        ("g4dn", "t4", 16),
        ("g5", "a10g", 24),
        ("g5g", "t4g", 16),
        ("g6", "l4", 24),
        ("gr6", "l4", 24),
        ("g6e", "l40s", 48),
        ("g7", "rtx-pro-4500", 32),
        ("g7e", "rtx-pro-6000", 96),
    ],
)
def test_each_gpu_family_has_one_model_with_its_nominal_memory(family, model, gb):
    types = [t for t in load_catalog().types if t.family == family]
    assert types
    assert {(t.gpu_model, t.gpu_memory_gb, t.gpu_fraction) for t in types} == {(model, gb, 1)}


@pytest.mark.parametrize("series", "mcr")
@pytest.mark.parametrize("generation", ["5", "5a", "6i", "6a", "7i", "7a", "8i", "8a"])
def test_the_last_x86_generations_are_priced(series, generation):
    types = [t for t in load_catalog().types if t.family == series + generation]
    assert len(types) >= 8
    assert all(t.arch == "x86_64" and t.price_usd_hour is not None for t in types)


def test_the_figures_of_a_type_are_those_of_the_api_and_the_price_list():
    assert instance("g4dn.xlarge") == InstanceType(
        name="g4dn.xlarge",
        vcpus=4,
        memory_mib=16384,
        usable_memory_mib=15589,
        gpu_model="t4",
        gpu_count=1,
        gpu_memory_gb=16,
        nvme_gb=125,
        price_usd_hour=0.526,
        sagemaker_name="ml.g4dn.xlarge",
        sagemaker_price_usd_hour=0.7364,
        sagemaker_price_source="pricing-page-2021",
    )


def test_withdrawn_p3_is_retired_and_p3dn_is_not():
    assert {
        instance(f"p3.{size}").retired_after for size in ("2xlarge", "8xlarge", "16xlarge")
    } == {"2026-04-01"}
    assert instance("p3dn.24xlarge").retired_after is None


def test_fractional_gpus_are_marked():
    assert instance("g6f.large").gpu_fraction == 0.125


def test_burstable_types_and_bare_metal_are_marked():
    assert instance("t3.large").burstable
    assert instance("m7i-flex.large").burstable
    assert instance("m5.metal").bare_metal
    assert not instance("m5.large").burstable


def test_estimated_figures_are_told_from_measured_ones():
    assert instance("p5.4xlarge").usable_memory_estimated
    assert not instance("p4d.24xlarge").usable_memory_estimated
    assert instance("ml.p5.4xlarge").sagemaker_price_estimated
    assert not instance("ml.p4d.24xlarge").sagemaker_price_estimated


def test_sagemaker_names_are_those_of_the_service_and_never_built():
    assert instance("m5.8xlarge").sagemaker_name is None
    assert instance("m5a.large").sagemaker_name is None
    assert instance("g6f.large").sagemaker_name is None
    assert instance("m6g.large").sagemaker_name is None


def test_a_type_is_found_by_the_name_of_either_service():
    assert load_catalog().get("ml.p4d.24xlarge") is load_catalog().get("p4d.24xlarge")


def test_an_unknown_name_finds_nothing():
    assert load_catalog().get("p4d.large") is None


@pytest.mark.parametrize(
    ("name", "generation"), [("m7i-flex.large", 7), ("p6-b200.48xlarge", 6), ("x2idn.16xlarge", 2)]
)
def test_the_generation_is_the_number_in_the_family(name, generation):
    assert instance(name).generation == generation


def test_less_memory_is_usable_than_there_is():
    assert all(0.7 < t.usable_memory_mib / t.memory_mib < 1 for t in load_catalog().types)


def test_every_price_of_sagemaker_has_a_source_that_the_header_explains():
    catalog = load_catalog()
    priced = [t for t in catalog.types if t.sagemaker_price_usd_hour is not None]
    assert {t.sagemaker_price_source for t in priced} <= catalog.sources.keys()


def test_every_gpu_of_the_catalog_is_a_known_model():
    known = {model.name: model for model in gpu_models().values()}
    for t in load_catalog().types:
        if t.gpu_model is not None and t.gpu_fraction == 1:
            assert t.gpu_memory_gb in known[t.gpu_model].memory_gb


def test_the_catalog_tells_its_region_and_dates():
    catalog = load_catalog()
    assert (catalog.region, catalog.specifications_date, catalog.prices_date) == (
        "us-east-1",
        date(2026, 10, 27),
        date(2026, 7, 20),
    )


def test_the_file_has_one_type_on_each_line_and_no_name_twice():
    path = files("flowyml_aws.planning").joinpath("instances.json")
    rows = [line for line in path.read_text("utf-8").splitlines() if '"name"' in line]
    names = {json.loads(row.strip().rstrip(","))["name"] for row in rows}
    assert len(rows) == len(names) == len(load_catalog().types)


def test_the_catalog_is_read_once():
    assert load_catalog() is load_catalog()


@pytest.mark.parametrize(
    ("change", "field", "why"),
    [
        ({"vcpus": None}, "vcpus", "missing"),
        ({"vcpus": "4"}, "vcpus", "'4' is no int"),
        ({"vcpus": True}, "vcpus", "True is no int"),
        ({"vcpus": 0}, "vcpus", "0 is no number above zero"),
        ({"price_usd_hour": float("nan")}, "price_usd_hour", "nan is no number above zero"),
        ({"memory": 16384}, "memory", "unknown"),
        ({"usable_memory_mib": 16385}, "usable_memory_mib", "more than memory_mib"),
        ({"arch": "sparc"}, "arch", "'sparc' is neither"),
        ({"gpu_model": "a1000"}, "gpu_model", "'a1000' is not in gpus.json"),
        ({"gpu_count": None}, "gpu_count", "missing"),
        ({"gpu_fraction": 1.5}, "gpu_fraction", "1.5 is no part of 1"),
        ({"sagemaker_price_usd_hour": 1.5}, "sagemaker_price_source", "stand together"),
        (
            {"sagemaker_price_usd_hour": 1.5, "sagemaker_price_source": "estimate"},
            "sagemaker_name",
            "missing",
        ),
        (
            {
                "sagemaker_name": "ml.g4dn.xlarge",
                "sagemaker_price_usd_hour": 1.5,
                "sagemaker_price_source": "rumour",
            },
            "sagemaker_price_source",
            "'rumour' is not in the header",
        ),
        ({"retired_after": "spring"}, "retired_after", "'spring' is no date"),
        ({"name": "m5.large"}, "name", "'m5.large' stands there twice"),
    ],
)
def test_a_wrong_type_is_an_error_that_names_line_and_field(
    change: dict[str, Any], field: str, why: str
) -> None:
    row = {name: value for name, value in {**G4DN, **change}.items() if value is not None}
    with pytest.raises(InvalidCatalogError) as caught:
        read_catalog(document(M5_LARGE, row), "mine.json")
    assert f"mine.json, line 10, field {field!r}" in caught.value.what
    assert why in caught.value.why


def test_a_type_that_is_no_object_is_an_error_that_names_its_line():
    with pytest.raises(InvalidCatalogError, match=r"line 9, field 'types'"):
        read_catalog(document(["m5.large", 2]), "mine.json")


def test_broken_json_is_an_error_that_names_its_line():
    with pytest.raises(InvalidCatalogError, match=r"mine\.json, line 9, field 'JSON'"):
        read_catalog(document(M5_LARGE).replace('"vcpus": 2', '"vcpus": '), "mine.json")


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ({"version": 2}, "version"),
        ({"prices_date": "July"}, "prices_date"),
        ({"region": 1}, "region"),
        ({"sources": []}, "sources"),
        ({"author": "me"}, "author"),
    ],
)
def test_a_wrong_header_is_an_error_that_names_the_field(header, field):
    with pytest.raises(InvalidCatalogError, match=f"field {field!r}"):
        read_catalog(document(M5_LARGE, **header), "mine.json")


@pytest.mark.parametrize("text", ["[]", '{"version": 1}', document()])
def test_a_document_without_types_is_an_error(text):
    with pytest.raises(InvalidCatalogError):
        read_catalog(text, "mine.json")


def test_a_catalog_error_is_an_expected_error_that_survives_pickling():
    with pytest.raises(FlowymlError) as caught:
        read_catalog("{}", "mine.json")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_document_is_read_with_what_it_leaves_out_at_its_default():
    (read,) = read_catalog(document(M5_LARGE), "mine.json").types
    assert read == InstanceType("m5.large", 2, 8192, 7700)
