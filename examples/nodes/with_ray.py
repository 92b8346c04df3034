"""A Ray cluster for one step: two nodes estimate pi with random points.

Run it, or only plan it (its dependency: `pip install ray`):

    python examples/nodes/with_ray.py                                on this machine: two processes
    flowyml-aws plan examples/nodes/with_ray.py --backend batch      nodes and cost on AWS
"""

import random

from flowyml_aws import Context, Pipeline, ResourceRequirements, step

TWO_NODES = ResourceRequirements(cpu="2", memory="4Gi", nodes=2)


def points_inside(seed: int, points: int) -> int:
    """Return how many of some random points are at most 1 from the origin."""
    draw = random.Random(seed).random
    return sum(draw() ** 2 + draw() ** 2 <= 1 for _ in range(points))


# Called on the main node only, when both nodes have joined the cluster.
@step(outputs=["pi"], resources=TWO_NODES, distributed="ray")
def estimate(tasks: int, points: int):
    """Estimate pi with tasks on all nodes."""
    import ray

    ray.init()  # connects to the cluster of the step: RAY_ADDRESS is set
    print(f"{len(ray.nodes())} nodes")
    count = ray.remote(scheduling_strategy="SPREAD")(points_inside)
    inside = ray.get([count.remote(seed, points) for seed in range(tasks)])
    ray.shutdown()
    return 4 * sum(inside) / (tasks * points)


pipeline = Pipeline("with_ray", Context(tasks=8, points=100_000)).add_step(estimate)

if __name__ == "__main__":
    result = pipeline.run()
    print("pi is about", result["pi"])
