"""Search for the best value of a parameter: each pipeline depends on the results of the one before.

    python examples/search.py

On AWS, a run with a dynamic step needs a cost limit: `flowyml-aws run examples/search.py --backend
batch --max-cost-usd 5`.
"""

from flowyml_aws import Pipeline, dynamic, step


@step(outputs=["result"], timeout=60)
def train(rates):
    """Return the loss with a learning rate, and the rate."""
    return (rates - 2.6) ** 2, rates


@step(inputs=["result"], outputs=["interval"], timeout=60)
def narrow(result, width):
    """Return the interval around the best rate."""
    _, rate = min(result)
    return rate - width, rate + width


@step(outputs=["interval"], timeout=60)
def start():
    return 0.0, 4.0


@dynamic(inputs=["interval"], outputs=["best"], timeout=60)
def search(interval):
    """Try five rates of an interval, then search around the best one until it is narrow."""
    low, high = interval
    if high - low <= 1:
        return (low + high) / 2  # a value ends the search
    width = (high - low) / 4
    pipeline = Pipeline("around", {"rates": [low + n * width for n in range(5)], "width": width})
    return pipeline.add_steps([train.map(over="rates", items_per_job=5), narrow, search])


@step(inputs=["best"], timeout=60)
def report(best):
    return f"best rate: {best}"


pipeline = Pipeline("search").add_steps([start, search, report])

if __name__ == "__main__":
    print(pipeline.run()["report"])
