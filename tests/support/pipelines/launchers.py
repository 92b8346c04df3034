"""Steps that torchrun, Ray or Dask run on several nodes."""

from __future__ import annotations

from flowyml_aws import Pipeline, ResourceRequirements, step

TWO, FOUR = ResourceRequirements(nodes=2), ResourceRequirements(nodes=4)


@step(outputs=["offset"])
def load() -> int:
    return 10


@step(inputs=["offset"], outputs=["total"], resources=FOUR, distributed="torchrun")
def reduce_with_torch(offset: int) -> int:
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    total = torch.tensor([offset + dist.get_rank()])
    dist.all_reduce(total)
    dist.destroy_process_group()
    return int(total)


@step(outputs=["failed"], resources=TWO, distributed="torchrun")
def fail_in_rank_1() -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo")
    if dist.get_rank() == 1:
        raise ValueError("no luck in this rank")
    dist.barrier()


@step(inputs=["total"], outputs=["alone"], distributed="torchrun")
def count_processes(total: int) -> tuple[int, int]:
    import torch.distributed as dist

    dist.init_process_group("gloo")
    size = dist.get_world_size()
    dist.destroy_process_group()
    return total, size


def square(number: int) -> int:
    return number * number


@step(inputs=["offset"], outputs=["squares"], resources=TWO, distributed="dask")
def square_with_dask(offset: int) -> tuple[int, list[int]]:
    from distributed import Client

    with Client() as client:
        workers = len(client.scheduler_info()["workers"])
        return workers, client.gather(client.map(square, range(offset)))


torch = Pipeline("torch").add_steps([load, reduce_with_torch, count_processes, fail_in_rank_1])
dask = Pipeline("dask").add_steps([load, square_with_dask])
