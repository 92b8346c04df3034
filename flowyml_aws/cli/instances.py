"""The command that ranks instance types for a request, without a pipeline."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from flowyml_aws.cli.app import AsJson, app
from flowyml_aws.cli.facts import candidate_facts, print_json
from flowyml_aws.core.errors import FlowymlError, InvalidResourcesError, NoInstanceFitsError
from flowyml_aws.core.resources import GPUConfig, NodeAffinity, ResourceRequirements
from flowyml_aws.planning.needs import needs_of
from flowyml_aws.preview import rank
from flowyml_aws.view import candidates_table

__all__ = ["instances"]


@app.command()
def instances(
    cpu: Annotated[str | None, typer.Option(help="Cores: 8, 2.5, 500m.")] = None,
    memory: Annotated[str | None, typer.Option(help="Such as 32Gi.")] = None,
    gpu: Annotated[
        str | None, typer.Option(metavar="NAME[:COUNT]", help="Such as nvidia-a100:2.")
    ] = None,
    gpu_memory: Annotated[str | None, typer.Option(help="Least memory per GPU: 40Gi.")] = None,
    storage: Annotated[str | None, typer.Option(help="Disk: 100Gi.")] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL=VALUE", help="A required node label; may repeat."),
    ] = None,
    backend: Annotated[str, typer.Option("--backend", "-b", help="batch or sagemaker.")] = "batch",
    spot: Annotated[bool, typer.Option("--spot", help="On spot capacity, at its prices.")] = False,
    most: Annotated[int, typer.Option(min=1, help="Rows of the table.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Rank the instance types that would serve a job, the cheapest first."""
    resources = ResourceRequirements(
        cpu=cpu,
        memory=memory,
        storage=storage,
        gpu=_gpu(gpu, gpu_memory),
        node_affinity=_affinity(label or []),
    )
    if problems := resources.problems():
        raise _all_of(problems)
    try:
        choice, notes = rank(needs_of(resources), backend, spot)
    except NoInstanceFitsError:
        if as_json:
            print_json([])
        raise
    found = choice.candidates()
    if as_json:
        print_json([candidate_facts(candidate) for candidate in found])
        return
    Console().print(candidates_table(found[:most]))
    if len(found) > most:
        print(f"and {len(found) - most} more (--most {len(found)} lists them, --json all facts)")
    console = Console(stderr=True)
    for text in [*choice.notes, *map(str, choice.near_misses()), *notes]:
        console.print(f"note: {text}", style="yellow", markup=False, soft_wrap=True)


def _gpu(spelling: str | None, memory: str | None) -> GPUConfig | None:
    if spelling is None:
        if memory is None:
            return None
        raise InvalidResourcesError(
            what=f"--gpu-memory {memory} without --gpu",
            why="it is the memory of each GPU, and none is asked for",
            fix="name the GPU as well: --gpu nvidia-a100",
        )
    name, _, count = spelling.partition(":")
    if count and not count.isdecimal():
        raise InvalidResourcesError(
            what=f"--gpu {spelling} has no count",
            why=f"{count!r} is no whole number",
            fix=f"write --gpu {name}:2",
        )
    return GPUConfig(name, int(count or 1), memory)


def _affinity(labels: list[str]) -> NodeAffinity | None:
    required = {}
    for text in labels:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidResourcesError(
                what=f"--label {text} is no label",
                why="a label is LABEL=VALUE",
                fix="write for example --label kubernetes.io/arch=arm64",
            )
        required[name] = value
    return NodeAffinity(required=required) if required else None


def _all_of(problems: list[FlowymlError]) -> FlowymlError:
    if len(problems) == 1:
        return problems[0]
    parts: dict[str, Any] = {
        part: "; ".join(getattr(problem, part) for problem in problems)
        for part in ("what", "why", "fix")
    }
    return InvalidResourcesError(**parts)
