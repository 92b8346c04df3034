"""`flowyml-aws catalog`, with an emulated account that another process serves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.mistakes import BAD_DATA, MISTAKE, REFUSED
from tests.support.aws_proxy import proxy_of
from tests.support.refusing import refusing
from tests.support.rigs import BackendRig

pytestmark = [
    pytest.mark.contract,
    pytest.mark.xdist_group("cli-emulated"),
    pytest.mark.usefixtures("rig"),
]

FILES = {"specifications.json", "prices.json"}


def on_aws(settings: Mapping[str, str], proxy: str) -> dict[str, str]:
    """Return settings with which clients call hosts of AWS, and an HTTP proxy responds for them.

    Args:
        settings: Settings of an emulator.
        proxy: URL of the proxy.
    """
    return {
        **settings,
        "AWS_ENDPOINT_URL": "http://any.us-east-1.amazonaws.com",
        "http_proxy": proxy,
        "no_proxy": "127.0.0.1",
    }


@pytest.fixture(scope="module")
def settings_of_aws(emulator_settings: Mapping[str, str]) -> Iterator[dict[str, str]]:
    with proxy_of(emulator_settings["AWS_ENDPOINT_URL"]) as proxy:
        yield on_aws(emulator_settings, proxy)


@pytest.fixture
def rig(tmp_path: Path, settings_of_aws: Mapping[str, str]) -> Iterator[BackendRig]:
    """A new project on an account, with a cache of its own."""
    own_cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    rig = BackendRig("batch", tmp_path / "project", {**settings_of_aws, **own_cache})
    with rig.entered():
        yield rig


@pytest.fixture
def cache(rig: BackendRig) -> Path:
    """Folder of the cached catalog of us-east-1."""
    return Path(rig.environment["XDG_CACHE_HOME"]) / "flowyml-aws" / "us-east-1"


@pytest.fixture(scope="module")
def first_refresh(
    settings_of_aws: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, str]:
    """Folder of a refreshed catalog, and the output of the command, which takes seconds."""
    folder = tmp_path_factory.mktemp("refreshed")
    settings = {**settings_of_aws, "XDG_CACHE_HOME": str(folder / "cache")}
    code, out, err = BackendRig("batch", folder / "project", settings).command("catalog", "refresh")
    assert code == 0, err
    return folder / "cache/flowyml-aws/us-east-1", out, err


@pytest.fixture
def refreshed(first_refresh: tuple[Path, str, str], cache: Path) -> Path:
    """The cache after a refresh."""
    shutil.copytree(first_refresh[0], cache)
    return cache


def files(cache: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in cache.iterdir()} if cache.is_dir() else {}


def types(cli: Cli, *arguments: str) -> dict[str, Any]:
    answer = cli("catalog", "show", "--json", *arguments)
    assert answer.code == 0, answer.err
    return {instance["name"]: instance for instance in answer.facts["types"]}


def test_refresh_writes_the_regions_catalog_and_reports_the_changes(
    first_refresh: tuple[Path, str, str],
) -> None:
    cache, out, _ = first_refresh
    counts, changed, location = out.splitlines()
    assert counts.startswith("us-east-1: 1,")
    assert changed.startswith("since ")
    assert location == f"written to {cache}"
    assert set(files(cache)) == FILES


def test_show_prints_the_refreshed_catalog(
    cli: Cli, first_refresh: tuple[Path, str, str], cache: Path
) -> None:
    packaged = types(cli, "--family", "g4dn")
    shutil.copytree(first_refresh[0], cache)
    refreshed = types(cli, "--family", "g4dn")
    assert refreshed.keys() == packaged.keys()
    for name, instance in refreshed.items():
        for fact in ("price_usd_hour", "sagemaker_price_usd_hour", "usable_memory_mib"):
            assert instance[fact] == packaged[name][fact]
    sources = cli("catalog", "show", "--json").facts["sources"]
    assert "Price List API" in str(sources)


@pytest.mark.thorough  # a refresh takes seconds
@pytest.mark.usefixtures("refreshed")
def test_a_second_refresh_changes_nothing(cli: Cli) -> None:
    _, changed, _ = cli("catalog", "refresh").out.splitlines()
    assert "new (" not in changed
    assert "no longer offered" not in changed
    assert "with changed prices" not in changed


def test_refresh_reports_the_changes_since_the_last_refresh(cli: Cli, refreshed: Path) -> None:
    specifications = json.loads((refreshed / "specifications.json").read_text())
    rows = [row for row in specifications["types"] if row["name"] != "m5.large"]
    rows.append({"name": "m5.huge", "vcpus": 2, "memory_mib": 4096})
    (refreshed / "specifications.json").write_text(json.dumps({**specifications, "types": rows}))
    prices = json.loads((refreshed / "prices.json").read_text())
    prices["on_demand"]["c5.large"] *= 2
    (refreshed / "prices.json").write_text(json.dumps(prices))
    _, changed, _ = cli("catalog", "refresh").out.splitlines()
    assert "1 new (m5.large)" in changed
    assert "1 no longer offered (m5.huge)" in changed
    assert "1 with changed prices" in changed


def test_a_damaged_cache_is_replaced(cli: Cli, refreshed: Path) -> None:
    (refreshed / "prices.json").write_text("{")
    assert cli("catalog", "show").code == BAD_DATA
    answer = cli("catalog", "refresh")
    assert answer.code == 0
    assert "replaced a damaged catalog" in answer.err
    assert types(cli, "--family", "m5")


def test_a_denied_call_names_the_permission_and_keeps_the_catalog(
    cli: Cli,
    refreshed: Path,
    emulator_settings: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = files(refreshed)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", emulator_settings["AWS_ENDPOINT_URL"])
    with refusing(403, "AccessDenied", "no") as proxy:
        for name, value in on_aws(emulator_settings, proxy).items():
            monkeypatch.setenv(name, value)
        answer = cli("catalog", "refresh")
    assert answer.code == REFUSED
    assert "ec2:DescribeInstanceTypes" in answer.err
    assert files(refreshed) == before


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_PRICING"])
def test_the_figures_of_an_emulator_are_refused(
    cli: Cli,
    rig: BackendRig,
    cache: Path,
    emulator_settings: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    needy = str(rig.write("needy"))
    before = cli("plan", needy, "--backend", "sagemaker", "--json").facts["jobs"]
    with monkeypatch.context() as patch:
        patch.setenv(variable, emulator_settings["AWS_ENDPOINT_URL"])
        answer = cli("catalog", "refresh")
    assert answer.code == MISTAKE
    assert f"can't be refreshed from {emulator_settings['AWS_ENDPOINT_URL']}" in answer.err
    assert "unset AWS_ENDPOINT_URL" in answer.err
    assert files(cache) == {}
    assert cli("plan", needy, "--backend", "sagemaker", "--json").facts["jobs"] == before


def test_without_credentials_nothing_is_read(
    cli: Cli, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    answer = cli("catalog", "refresh")
    assert answer.code == REFUSED
    assert "Unable to locate credentials" in answer.err
    assert files(cache) == {}


def test_without_a_region_nothing_is_read(
    cli: Cli, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    answer = cli("catalog", "refresh")
    assert answer.code == REFUSED
    assert "AWS_REGION" in answer.err


@pytest.mark.thorough  # a refresh takes seconds
def test_a_region_without_prices_writes_nothing(cli: Cli, cache: Path) -> None:
    answer = cli("catalog", "refresh", "--region", "eu-west-1")
    assert answer.code == REFUSED
    assert "no prices for EC2 instances in eu-west-1" in answer.err
    assert files(cache.parent / "eu-west-1") == {}


@pytest.mark.thorough  # three refreshes
def test_the_region_comes_from_the_option_the_setting_and_the_environment(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert "in eu-west-2" in cli("catalog", "refresh").err
    monkeypatch.setenv("FLOWYML_AWS_REGION", "eu-west-1")
    assert "in eu-west-1" in cli("catalog", "refresh").err
    assert cli("catalog", "refresh", "--region", "us-east-1").code == 0


def test_a_cache_folder_that_can_not_be_written_is_a_mistake(cli: Cli, cache: Path) -> None:
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file instead of a folder")
    answer = cli("catalog", "refresh")
    assert answer.code == MISTAKE
    assert f"The catalog can't be written to {cache}" in answer.err


def test_show_prints_a_table_and_the_sources(cli: Cli) -> None:
    answer = cli("catalog", "show", "--family", "p3", "--family", "g6f")
    assert answer.code == 0
    assert "retired after" in answer.out
    assert "0.125 × l4" in answer.out
    assert "ml.p3.8xlarge" in answer.out
    assert "sources (us-east-1; ~ is an estimate)" in answer.out
    assert "m5.large" not in answer.out


def test_show_notes_that_prices_of_another_region_are_used(cli: Cli) -> None:
    answer = cli("catalog", "show", "--region", "eu-west-1", "--family", "g4dn")
    assert answer.code == 0
    assert "note: " in answer.err
    assert "us-east-1" in answer.err


def test_show_selects_types_by_gpu(cli: Cli) -> None:
    assert {t["family"] for t in types(cli, "--gpu", "nvidia-tesla-t4").values()} == {"g4dn"}


def test_an_unknown_family_is_a_mistake(cli: Cli) -> None:
    answer = cli("catalog", "show", "--family", "g99")
    assert answer.code == MISTAKE
    assert "'g99'" in answer.err


def test_an_unknown_gpu_is_a_mistake(cli: Cli) -> None:
    answer = cli("catalog", "show", "--gpu", "voodoo2")
    assert answer.code == MISTAKE
    assert "voodoo2" in answer.err
