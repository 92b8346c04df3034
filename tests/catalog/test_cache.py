from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from flowyml_aws.catalog.cache import write_catalog
from flowyml_aws.catalog.documents import Prices, Source, Specification, Specifications
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.errors import SettingsError

SOURCE = Source(what="a test", day=date(2026, 11, 23))
REGION = "eu-west-1"


def specifications(*names: str) -> Specifications:
    types = tuple(Specification(name=name, vcpus=2, memory_mib=8192) for name in names)
    return Specifications(region=REGION, source=SOURCE, types=types)


def prices(**on_demand: float) -> Prices:
    return Prices(
        region=REGION,
        sources={"on_demand": SOURCE, "spot": SOURCE},
        on_demand={name.replace("_", "."): price for name, price in on_demand.items()},
        spot={},
        sagemaker={},
    )


def test_a_written_catalog_is_read_by_plans(tmp_path: Path) -> None:
    write_catalog(tmp_path / REGION, specifications("m5.large"), prices(m5_large=0.1))
    instance = load_catalog(REGION, tmp_path).get("m5.large")
    assert instance is not None
    assert (instance.vcpus, instance.price_usd_hour) == (2, 0.1)


def test_a_second_catalog_replaces_the_first(tmp_path: Path) -> None:
    write_catalog(tmp_path / REGION, specifications("m5.large"), prices(m5_large=0.1))
    write_catalog(tmp_path / REGION, specifications("c5.large"), prices(c5_large=0.2))
    catalog = load_catalog(REGION, tmp_path)
    assert catalog.get("m5.large") is None
    assert catalog.get("c5.large") is not None


def test_no_temporary_files_remain_in_the_folder(tmp_path: Path) -> None:
    write_catalog(tmp_path / REGION, specifications("m5.large"), prices(m5_large=0.1))
    names = sorted(file.name for file in (tmp_path / REGION).iterdir())
    assert names == ["prices.json", "specifications.json"]


def test_a_failed_replacement_is_an_error_and_leaves_no_temporary_files(tmp_path: Path) -> None:
    (tmp_path / REGION / "specifications.json").mkdir(parents=True)
    with pytest.raises(SettingsError, match=f"can't be written to .*{REGION}"):
        write_catalog(tmp_path / REGION, specifications("m5.large"), prices(m5_large=0.1))
    assert [file.name for file in (tmp_path / REGION).iterdir()] == ["specifications.json"]
