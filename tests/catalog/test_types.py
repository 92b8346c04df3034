from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from pydantic import ValidationError

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.catalog.cache import write_catalog
from flowyml_aws.catalog.documents import (
    MeasuredMemory,
    Prices,
    RetiredType,
    Retirements,
    SageMakerPrice,
    SageMakerTypes,
    Source,
    Specification,
    Specifications,
    as_rows,
)
from flowyml_aws.catalog.files import (
    InvalidCatalogError,
    load_catalog,
    usable_memory_mib,
)
from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.folders import cache_folder
from flowyml_aws.core.gpus import gpu_models

DATA = Path(load_catalog.__code__.co_filename).with_name("data")
DAY = date(2026, 11, 20)
SOURCE = Source(what="EC2", day=DAY)
M5_LARGE = {"name": "m5.large", "vcpus": 2, "memory_mib": 8192}
T4 = {"model": "t4", "count": 1, "memory_mib": 16384}
G4DN = {"name": "g4dn.xlarge", "vcpus": 4, "memory_mib": 16384, "gpus": T4}
ROW = {"what": "EC2", "day": "2026-11-20"}
DOCUMENTS: dict[str, type[Document]] = {
    "specifications": Specifications,
    "retired": Retirements,
    "memory": MeasuredMemory,
    "sagemaker": SageMakerTypes,
    "prices": Prices,
}


def specifications(*types: object, **header: object) -> dict[str, Any]:
    return {"version": 1, "region": "eu-west-1", "source": ROW, "types": list(types), **header}


def prices(**members: object) -> dict[str, Any]:
    return {
        "version": 1,
        "region": "eu-west-1",
        "sources": {"on_demand": ROW, "spot": ROW, "sagemaker": ROW},
        "on_demand": {"m5.large": 0.107},
        "spot": {"m5.large": 0.05},
        "sagemaker": {"ml.m5.large": {"usd_hour": 0.128, "source": "sagemaker"}},
        **members,
    }


def refreshed(cache: Path, **files: Mapping[str, object]) -> Catalog:
    """Return the catalog of eu-west-1 with these files in its cache."""
    folder = cache / "eu-west-1"
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in files.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return load_catalog("eu-west-1", cache)


def instance(name: str, catalog: Catalog | None = None) -> InstanceType:
    instance_type = (catalog or load_catalog()).get(name)
    assert instance_type is not None
    return instance_type


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
        ("g4ad", "radeon-pro-v520", 8),
    ],
)
def test_each_gpu_family_has_one_model_with_its_nominal_memory(family, model, gb):
    types = [t for t in load_catalog().types if t.family == family]
    assert types
    assert {(t.gpu_model, t.gpu_memory_gb, t.gpu_fraction) for t in types} == {(model, gb, 1)}
    # A nominal GB is 10**9 bytes in one data sheet and a GiB in the next.
    assert all(0.9 * gb < t.gpu_memory_mib / 1000 < 1.1 * gb for t in types)


@pytest.mark.parametrize("family", ["g6f", "gr6f"])
def test_each_family_of_fractions_has_parts_of_an_l4(family):
    types = [t for t in load_catalog().types if t.family == family]
    assert types
    assert {t.gpu_model for t in types} == {"l4"}
    assert all(0 < t.gpu_fraction < 1 and t.gpu_memory_gb == 24 * t.gpu_fraction for t in types)


@pytest.mark.parametrize(
    ("family", "accelerator"),
    [("trn1", "trainium"), ("trn2", "trainium2"), ("inf2", "inferentia2")],
)
def test_accelerators_other_than_gpus_have_no_gpu_model(family, accelerator):
    types = [t for t in load_catalog().types if t.family == family]
    assert {(t.accelerator, t.gpu_model) for t in types} == {(accelerator, None)}


@pytest.mark.parametrize("series", "mcr")
@pytest.mark.parametrize("generation", ["5", "5a", "6i", "6a", "7i", "7a", "8i", "8a"])
def test_the_last_x86_generations_are_priced(series, generation):
    types = [t for t in load_catalog().types if t.family == series + generation]
    assert len(types) >= 8
    assert all(t.arch == "x86_64" and t.price_usd_hour is not None for t in types)


@pytest.mark.parametrize("series", "mcr")
@pytest.mark.parametrize("generation", ["6g", "7g", "8g"])
def test_the_last_graviton_generations_are_priced(series, generation):
    types = [t for t in load_catalog().types if t.family == series + generation]
    assert len(types) >= 8
    assert all(t.arch == "arm64" and t.price_usd_hour is not None for t in types)


# Copied by hand from AWS's pages on instance types; nominal memory in GiB.
@pytest.mark.parametrize(
    ("name", "vcpus", "memory_gib", "gpus", "nvme_gb", "network_gbps", "usd_hour"),
    [
        ("p3.8xlarge", 32, 244, 4, 0, 10, 12.24),
        ("p3dn.24xlarge", 96, 768, 8, 1800, 100, 31.212),
        ("p4d.24xlarge", 96, 1152, 8, 8000, 400, 21.957642),
        ("p4de.24xlarge", 96, 1152, 8, 8000, 400, 27.44705),
        ("p5.4xlarge", 16, 256, 1, 3800, 100, 6.88),
        ("p5en.48xlarge", 192, 2048, 8, 30400, 3200, 63.296),
        ("g4dn.12xlarge", 48, 192, 4, 900, 50, 3.912),
        ("g5.xlarge", 4, 16, 1, 250, 10, 1.006),
        ("g6.12xlarge", 48, 192, 4, 3760, 40, 4.6016),
        ("g6e.xlarge", 4, 32, 1, 250, 20, 1.861),
        ("trn1.32xlarge", 128, 512, 0, 7600, 800, 21.5),
        ("m5.large", 2, 8, 0, 0, 10, 0.096),
        ("m6i.2xlarge", 8, 32, 0, 0, 12.5, 0.384),
        ("c6a.xlarge", 4, 8, 0, 0, 12.5, 0.153),
        ("r5a.large", 2, 16, 0, 0, 10, 0.113),
        ("m7g.large", 2, 8, 0, 0, 12.5, 0.0816),
    ],
)
def test_the_catalog_matches_the_documentation_of_aws(
    name, vcpus, memory_gib, gpus, nvme_gb, network_gbps, usd_hour
):
    known = instance(name)
    assert (known.vcpus, known.memory_mib, known.gpu_count) == (vcpus, memory_gib * 1024, gpus)
    assert (known.nvme_gb, known.network_gbps) == (nvme_gb, network_gbps)
    assert known.price_usd_hour == usd_hour


def test_the_figures_of_a_type_come_from_all_files():
    assert instance("g4dn.xlarge") == InstanceType(
        name="g4dn.xlarge",
        vcpus=4,
        memory_mib=16384,
        usable_memory_mib=15589,
        gpu_model="t4",
        gpu_count=1,
        gpu_memory_gb=16,
        gpu_memory_mib=16384,
        nvme_gb=125,
        network_gbps=25,
        price_usd_hour=0.526,
        spot_usd_hour=0.2132,
        sagemaker_name="ml.g4dn.xlarge",
        sagemaker_price_usd_hour=0.7364,
        sagemaker_price_source="pricing-page-2021",
    )


def test_withdrawn_types_are_retired_but_offered_by_the_packaged_catalog():
    withdrawn = [instance(f"p3.{size}") for size in ("2xlarge", "8xlarge", "16xlarge")]
    assert {t.retired_after for t in withdrawn} == {"2026-04-01"}
    assert all(t.offered for t in withdrawn)
    assert instance("p3dn.24xlarge").retired_after is None


def test_types_that_only_other_regions_have_are_not_offered():
    assert not instance("p5e.48xlarge").offered
    assert instance("p5en.48xlarge").offered


def test_fractional_gpus_are_marked():
    eighth = instance("g6f.large")
    assert (eighth.gpu_fraction, eighth.gpu_memory_gb, eighth.gpu_memory_mib) == (0.125, 3, 2861)


def test_burstable_types_and_bare_metal_are_marked():
    assert instance("t3.large").burstable
    assert instance("m7i-flex.large").burstable
    assert instance("m5.metal").bare_metal
    assert not instance("m5.large").burstable


# Amazon EC2 User Guide, "Elastic Fabric Adapter", "Supported instance types".
@pytest.mark.parametrize(
    ("name", "efa"),
    [("p4d.24xlarge", True), ("g4dn.8xlarge", True), ("g4dn.4xlarge", False), ("m5.large", False)],
)
def test_types_with_efa_are_marked(name, efa):
    known = load_catalog().get(name)
    assert known is not None
    assert known.efa == efa


def test_estimated_figures_are_distinguished_from_measured_ones():
    assert instance("p5.4xlarge").usable_memory_estimated
    assert not instance("p4d.24xlarge").usable_memory_estimated
    assert instance("ml.p5.4xlarge").sagemaker_price_estimated
    assert not instance("ml.p4d.24xlarge").sagemaker_price_estimated


def test_sagemaker_names_come_from_the_service_and_are_never_derived():
    assert instance("m5.8xlarge").sagemaker_name is None
    assert instance("m5a.large").sagemaker_name is None
    assert instance("g6f.large").sagemaker_name is None
    assert instance("m6g.large").sagemaker_name is None
    model = botocore.session.get_session().get_service_model("sagemaker")
    shape: Any = model.shape_for("TrainingInstanceType")
    known = set(shape.enum)
    # An older botocore lacks the newest names, so only the names that it knows are compared.
    names = {t.sagemaker_name for t in load_catalog().types if t.sagemaker_name}
    packaged = SageMakerTypes.model_validate_json((DATA / "sagemaker.json").read_bytes())
    assert names <= set(packaged.names)
    if f"botocore {botocore.__version__}" in packaged.source.what:
        assert set(packaged.names) == known
    assert len(names & known) > 130


def test_a_type_is_found_by_the_name_of_either_service():
    assert load_catalog().get("ml.p4d.24xlarge") is load_catalog().get("p4d.24xlarge")


def test_an_unknown_name_returns_none():
    assert load_catalog().get("p4d.large") is None


@pytest.mark.parametrize(
    ("name", "generation"), [("m7i-flex.large", 7), ("p6-b200.48xlarge", 6), ("x2idn.16xlarge", 2)]
)
def test_the_generation_is_the_number_in_the_family(name, generation):
    assert instance(name).generation == generation


def test_usable_memory_is_less_than_nominal_memory():
    assert all(0.7 < t.usable_memory_mib / t.memory_mib < 1 for t in load_catalog().types)


def test_usable_memory_is_the_measured_memory_minus_the_systems_share():
    assert usable_memory_mib(16384, 15780) == 15590
    assert usable_memory_mib(262144) == 246383
    # As measured on t3.nano (372), t3.micro (862) and c9g.medium (1751).
    assert [usable_memory_mib(mib) for mib in (512, 1024, 2048)] == [367, 858, 1749]


def test_every_file_has_sources_with_a_date():
    assert {file.stem for file in DATA.iterdir()} == set(DOCUMENTS)
    for name, document_type in DOCUMENTS.items():
        document: Any = document_type.model_validate_json((DATA / f"{name}.json").read_bytes())
        has_one_source = hasattr(document, "source")
        sources = [document.source] if has_one_source else list(document.sources.values())
        assert sources
        assert all(source.what and source.day <= date(2026, 11, 23) for source in sources)


def test_every_price_has_a_source_and_only_the_calculated_ones_are_estimates():
    packaged = Prices.model_validate_json((DATA / "prices.json").read_bytes())
    used = {price.source for price in packaged.sagemaker.values()} | {"on_demand", "spot"}
    assert used == set(packaged.sources)
    assert [name for name, source in packaged.sources.items() if source.estimate] == ["estimate"]
    assert set(packaged.sources) <= set(load_catalog().sources)


def test_every_figure_belongs_to_a_known_type():
    names = {t.name for t in load_catalog().types}
    packaged = Prices.model_validate_json((DATA / "prices.json").read_bytes())
    memory = MeasuredMemory.model_validate_json((DATA / "memory.json").read_bytes())
    assert set(packaged.on_demand) | set(packaged.spot) | set(memory.os_memory_mib) <= names
    assert set(packaged.sagemaker) <= {t.sagemaker_name for t in load_catalog().types}


def test_every_gpu_of_the_catalog_is_a_known_model():
    known = {model.name: model for model in gpu_models().values()}
    for t in load_catalog().types:
        if t.gpu_model is not None and t.gpu_fraction == 1:
            assert t.gpu_memory_gb in known[t.gpu_model].memory_gb


def test_the_catalog_has_its_region_and_dates():
    catalog = load_catalog()
    assert (catalog.region, catalog.prices_region) == ("us-east-1", "us-east-1")
    assert catalog.specifications_date == date(2026, 10, 27)
    assert catalog.prices_date == date(2026, 7, 20)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_files_have_one_entry_per_line(name):
    text = (DATA / f"{name}.json").read_text()
    assert as_rows(DOCUMENTS[name].model_validate_json(text)).decode() == text
    entries = sum(
        len(value) for value in json.loads(text).values() if isinstance(value, dict | list)
    )
    assert sum(line.startswith("  ") for line in text.splitlines()) == entries


def test_rows_omit_defaults_but_keep_the_version():
    text = as_rows(SageMakerTypes(source=SOURCE, names=())).decode()
    assert json.loads(text) == {"version": 1, "source": ROW, "names": []}


def test_the_same_files_give_the_same_catalog(tmp_path):
    assert load_catalog() is load_catalog() is load_catalog("us-east-1")
    first = refreshed(tmp_path, specifications=specifications(M5_LARGE), prices=prices())
    assert load_catalog("eu-west-1", tmp_path) is first
    assert refreshed(tmp_path, specifications=specifications(G4DN)) is not first


def test_a_refreshed_catalog_has_the_regions_types_and_prices(tmp_path):
    catalog = refreshed(tmp_path, specifications=specifications(M5_LARGE, G4DN), prices=prices())
    m5 = instance("m5.large", catalog)
    assert (m5.price_usd_hour, m5.spot_usd_hour) == (0.107, 0.05)
    assert (m5.sagemaker_price_usd_hour, m5.sagemaker_price_source) == (0.128, "sagemaker")
    assert m5.usable_memory_mib == instance("m5.large").usable_memory_mib
    assert instance("g4dn.xlarge", catalog).price_usd_hour is None
    assert catalog.get("m6i.large") is None
    assert (catalog.region, catalog.prices_region) == ("eu-west-1", "eu-west-1")
    assert catalog.specifications_date == catalog.prices_date == DAY


def test_a_written_catalog_can_be_loaded(tmp_path):
    write_catalog(
        tmp_path / "eu-west-1",
        Specifications(
            region="eu-west-1",
            source=SOURCE,
            types=(Specification(name="m5.large", vcpus=2, memory_mib=8192),),
        ),
        Prices(
            region="eu-west-1",
            sources=dict.fromkeys(("on_demand", "spot", "sagemaker"), SOURCE),
            on_demand={"m5.large": 0.107},
            spot={},
            sagemaker={"ml.m5.large": SageMakerPrice(usd_hour=0.128, source="sagemaker")},
        ),
    )
    catalog = load_catalog("eu-west-1", tmp_path)
    assert instance("ml.m5.large", catalog).sagemaker_price_usd_hour == 0.128


def test_a_retired_type_is_offered_after_a_refresh_only_if_ec2_listed_it(tmp_path):
    p3 = {"name": "p3.2xlarge", "vcpus": 8, "memory_mib": 62464}
    catalog = refreshed(tmp_path, specifications=specifications(p3))
    assert instance("p3.2xlarge", catalog).offered
    assert instance("p3.2xlarge", catalog).retired_after is None
    assert not instance("p3.8xlarge", catalog).offered
    assert instance("p3.8xlarge", catalog).retired_after == "2026-04-01"


def test_a_region_that_was_never_refreshed_has_the_packaged_types_and_prices(tmp_path):
    catalog = load_catalog("eu-west-1", tmp_path)
    assert catalog.types == load_catalog().types
    assert (catalog.region, catalog.prices_region) == ("eu-west-1", "us-east-1")


def test_without_a_region_the_cache_of_the_packaged_region_is_read(tmp_path):
    folder = tmp_path / "us-east-1"
    folder.mkdir()
    document = specifications(M5_LARGE, region="us-east-1")
    (folder / "specifications.json").write_text(json.dumps(document))
    assert load_catalog(None, tmp_path).get("m6i.large") is None
    assert load_catalog().get("m6i.large") is not None


def test_unknown_sagemaker_names_are_ignored(tmp_path):
    unknown = {"name": "m99.large", "vcpus": 2, "memory_mib": 8192}
    price = {"ml.m99.large": {"usd_hour": 1, "source": "sagemaker"}}
    catalog = refreshed(
        tmp_path, specifications=specifications(unknown), prices=prices(sagemaker=price)
    )
    assert instance("m99.large", catalog).sagemaker_name is None
    assert instance("m99.large", catalog).sagemaker_price_usd_hour is None


def test_a_current_catalog_has_no_notes(tmp_path):
    catalog = refreshed(tmp_path, specifications=specifications(M5_LARGE), prices=prices())
    assert catalog.notes(date(2026, 11, 23)) == ()
    assert catalog.notes(date(2027, 2, 18)) == ()


@pytest.mark.parametrize(
    ("today", "included", "excluded"),
    [
        (date(2026, 10, 28), "prices are from 2026-07-20", "specifications"),
        (
            date(2027, 1, 26),
            "specifications are from 2026-10-27, its prices are from 2026-07-20",
            None,
        ),
    ],
)
def test_a_note_reports_figures_older_than_90_days_and_the_refresh_command(
    today, included, excluded
):
    (note,) = load_catalog().notes(today)
    assert included in note
    assert "older than 90 days" in note
    assert "`flowyml-aws catalog refresh --region us-east-1`" in note
    assert excluded is None or excluded not in note


def test_a_note_reports_prices_of_another_region():
    (note,) = load_catalog("eu-west-1").notes(date(2026, 7, 21))
    assert "prices are from us-east-1, not from eu-west-1" in note
    assert "`flowyml-aws catalog refresh --region eu-west-1`" in note


def test_the_prices_region_defaults_to_the_region():
    assert Catalog("r", DAY, DAY, ()).prices_region == "r"


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"XDG_CACHE_HOME": "/var/cache"}, Path("/var/cache/flowyml-aws")),
        ({"XDG_CACHE_HOME": "cache"}, Path.home() / ".cache/flowyml-aws"),
        ({"XDG_CACHE_HOME": ""}, Path.home() / ".cache/flowyml-aws"),
        ({}, Path.home() / ".cache/flowyml-aws"),
    ],
)
def test_the_cache_folder_follows_the_xdg_specification(environment, folder):
    assert cache_folder(environment) == folder


@pytest.mark.parametrize(
    ("change", "field", "why"),
    [
        ({"vcpus": None}, "vcpus", "Field required"),
        ({"vcpus": "4"}, "vcpus", "valid integer"),
        ({"vcpus": True}, "vcpus", "valid integer"),
        ({"vcpus": 0}, "vcpus", "greater than 0"),
        ({"memory": 16384}, "memory", "not permitted"),
        ({"memory_mib": 8192}, "memory_mib", "less than the measured 15779 MiB"),
        ({"arch": "sparc"}, "arch", "'x86_64' or 'arm64'"),
        ({"gpus": {**T4, "model": "a1000"}}, "gpus.model", "'a1000' is not in core/gpus.json"),
        ({"gpus": {**T4, "model": "nvidia-t4"}}, "gpus.model", "is not in core/gpus.json"),
        ({"gpus": {**T4, "memory_mib": 99999}}, "gpus.memory_mib", "known variants report"),
        ({"gpus": {"model": "t4", "count": 1}}, "gpus.memory_mib", "Field required"),
        ({"gpus": {**T4, "fraction": 1.5}}, "gpus.fraction", "less than or equal to 1"),
    ],
)
def test_an_invalid_type_is_an_error_that_names_file_type_and_field(tmp_path, change, field, why):
    row = {name: value for name, value in {**G4DN, **change}.items() if value is not None}
    with pytest.raises(InvalidCatalogError) as caught:
        refreshed(tmp_path, specifications=specifications(M5_LARGE, row))
    file = tmp_path / "eu-west-1" / "specifications.json"
    assert f"{file}, g4dn.xlarge, field {field!r}" in caught.value.what
    assert why in caught.value.why
    assert "run `flowyml-aws catalog refresh` again" in caught.value.fix


@pytest.mark.parametrize(
    ("document", "location"),
    [
        (specifications(M5_LARGE, G4DN, M5_LARGE), "m5.large, field 'name'"),
        (specifications(M5_LARGE, ["g4dn", 4]), "row 2, field 'types'"),
        (specifications(M5_LARGE, {"vcpus": 2, "memory_mib": 1}), "row 2, field 'name'"),
        (specifications(M5_LARGE, version=2), "field 'version'"),
        (specifications(M5_LARGE, author="me"), "field 'author'"),
        (specifications(M5_LARGE, source={"what": "EC2", "day": "autumn"}), "field 'source.day'"),
        (specifications(M5_LARGE, region="eu-west-2"), "field 'region'"),
        (specifications(), "field 'types'"),
        ([], "specifications.json"),
    ],
)
def test_invalid_specifications_are_an_error_that_names_row_and_field(tmp_path, document, location):
    with pytest.raises(InvalidCatalogError) as caught:
        refreshed(tmp_path, specifications=document)
    assert caught.value.what.endswith(location)


@pytest.mark.parametrize(
    ("change", "location", "why"),
    [
        ({"on_demand": {"m5.large": 0}}, "m5.large, field 'on_demand'", "greater than 0"),
        ({"spot": {"m5.large": "cheap"}}, "m5.large, field 'spot'", "valid number"),
        ({"on_demand": {"m5.large": float("inf")}}, "m5.large, field 'on_demand'", "finite"),
        (
            {"sagemaker": {"ml.m5.large": {"usd_hour": 1}}},
            "ml.m5.large, field 'sagemaker.source'",
            "Field required",
        ),
        (
            {"sagemaker": {"ml.m5.large": {"usd_hour": 1, "source": "rumour"}}},
            "ml.m5.large, field 'sagemaker.source'",
            "'rumour' is not in the sources",
        ),
        ({"sources": {"spot": ROW}}, "field 'sources'", "'on_demand' is missing"),
        ({"region": "eu-west-2"}, "field 'region'", "expected eu-west-1, got eu-west-2"),
    ],
)
def test_invalid_prices_are_an_error_that_names_type_and_field(tmp_path, change, location, why):
    with pytest.raises(InvalidCatalogError) as caught:
        refreshed(tmp_path, prices=prices(**change))
    assert caught.value.what.endswith(f"prices.json, {location}")
    assert why in caught.value.why


@pytest.mark.parametrize("text", ["{", "", "\0"])
def test_broken_json_is_an_error_that_names_the_file(tmp_path, text):
    folder = tmp_path / "eu-west-1"
    folder.mkdir()
    (folder / "prices.json").write_text(text)
    with pytest.raises(InvalidCatalogError, match=r"prices\.json"):
        load_catalog("eu-west-1", tmp_path)


def test_an_unreadable_file_is_an_error(tmp_path):
    (tmp_path / "eu-west-1" / "prices.json").mkdir(parents=True)
    with pytest.raises(InvalidCatalogError, match="it can't be read"):
        load_catalog("eu-west-1", tmp_path)


def test_a_file_in_place_of_the_cache_folder_is_ignored(tmp_path):
    (tmp_path / "eu-west-1").write_text("")
    assert load_catalog("eu-west-1", tmp_path).types == load_catalog().types


def test_a_retired_type_without_a_source_is_an_error():
    retired = RetiredType(
        name="p3.2xlarge", vcpus=8, memory_mib=62464, last_listed=DAY, source="rumour"
    )
    with pytest.raises(ValidationError, match=r"p3\.2xlarge: source 'rumour'"):
        Retirements(sources={"snapshot": SOURCE}, types=(retired,))


def test_a_catalog_error_is_an_expected_error_that_survives_pickling(tmp_path):
    with pytest.raises(FlowymlError) as caught:
        refreshed(tmp_path, specifications={})
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
