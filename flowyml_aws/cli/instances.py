"""The command that ranks instance types for requirements, without a pipeline."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flowyml_aws.cli.app import AsJson, app
from flowyml_aws.cli.facts import candidate_facts, print_json
from flowyml_aws.client.preview import rank
from flowyml_aws.core.errors import FlowymlError, InvalidResourcesError, NoInstanceFitsError
from flowyml_aws.core.resources import GPUConfig, NodeAffinity, ResourceRequirements
from flowyml_aws.planning.needs import needs_of
from flowyml_aws.view import candidates_table
from flowyml_aws.view.terminal import Terminal

__all__ = ["instances"]


@app.command()
def instances(
    cpu: Annotated[str | None, typer.Option(help="vCPUs: 8, 2.5 or 500m.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory, such as 32Gi.")] = None,
    gpu: Annotated[
        str | None, typer.Option(metavar="NAME[:COUNT]", help="GPUs, such as nvidia-a100:2.")
    ] = None,
    gpu_memory: Annotated[
        str | None, typer.Option(help="Minimum memory per GPU, such as 40Gi.")
    ] = None,
    storage: Annotated[str | None, typer.Option(help="Disk, such as 100Gi.")] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL=VALUE", help="Required node label; repeatable."),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(help="Number of machines; prices are those of all of them.")
    ] = None,
    backend: Annotated[str, typer.Option("--backend", "-b", help="batch or sagemaker.")] = "batch",
    spot: Annotated[bool, typer.Option("--spot", help="Use spot capacity and prices.")] = False,
    most: Annotated[int, typer.Option(min=1, help="Maximum rows of the table.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the instance types that fit a job, cheapest first."""
    resources = ResourceRequirements(
        cpu=cpu,
        memory=memory,
        storage=storage,
        gpu=_gpu(gpu, gpu_memory),
        node_affinity=_affinity(label or []),
        nodes=nodes,
    )
    if problems := resources.problems():
        raise _merged(problems)
    try:
        needs = needs_of(resources)
        selection, notes = rank(needs, backend, spot)
    except NoInstanceFitsError:
        if as_json:
            print_json([])
        raise
    candidates = selection.candidates()
    if as_json:
        print_json([candidate_facts(needs, candidate) for candidate in candidates])
        return
    Terminal().print(candidates_table(needs, candidates[:most]))
    if len(candidates) > most:
        print(f"and {len(candidates) - most} more: show all with --most {len(candidates)}")
    console = Terminal(stderr=True)
    for note in [*selection.notes, *map(str, selection.near_misses()), *notes]:
        console.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)


def _gpu(spec: str | None, memory: str | None) -> GPUConfig | None:
    if spec is None:
        if memory is None:
            return None
        raise InvalidResourcesError(
            what=f"--gpu-memory {memory} without --gpu",
            why="it is the memory of each GPU, and no GPU is requested",
            fix="name the GPU as well: --gpu nvidia-a100",
        )
    name, _, count = spec.partition(":")
    if count and not count.isdecimal():
        raise InvalidResourcesError(
            what=f"Invalid --gpu {spec!r}: expected NAME or NAME:COUNT",
            why=f"the count {count!r} is not an integer",
            fix=f"write --gpu {name}:2",
        )
    return GPUConfig(name, int(count or 1), memory)


def _affinity(labels: list[str]) -> NodeAffinity | None:
    required = {}
    for label in labels:
        name, equals, value = label.partition("=")
        if not equals or not name:
            raise InvalidResourcesError(
                what=f"Invalid --label {label!r}: expected LABEL=VALUE",
                why="a node label has a name and a value",
                fix="write for example --label kubernetes.io/arch=arm64",
            )
        required[name] = value
    return NodeAffinity(required=required) if required else None


def _merged(problems: list[FlowymlError]) -> FlowymlError:
    if len(problems) == 1:
        return problems[0]
    parts: dict[str, Any] = {
        part: "; ".join(getattr(problem, part) for problem in problems)
        for part in ("what", "why", "fix")
    }
    return InvalidResourcesError(**parts)
