"""Deploy a model if it is good enough, or train it again with more data.

Run it:

    python examples/branches/pipeline.py
    python examples/branches/pipeline.py 0.99
"""

import sys

from flowyml_aws import If, Pipeline, step

HOURS = [(1.0, 0), (2.0, 0), (3.0, 0), (3.5, 1), (4.0, 0), (4.5, 1), (5.0, 1), (6.0, 1)]


@step(outputs=["cut"], execution_group="training")
def train():
    """Return the number of hours from which a student is predicted to pass."""
    return best_cut(HOURS[::2])


@step(inputs=["cut"], outputs=["accuracy"], execution_group="training")
def evaluate(cut):
    return accuracy_of(cut, HOURS)


@step(inputs=["cut"], outputs=["deployed"])
def deploy(cut):
    return f"pass from {cut} hours"


@step(outputs=["retrained"])
def retrain():
    return f"pass from {best_cut(HOURS)} hours"


@step(inputs=["accuracy", "deployed", "retrained"])
def report(accuracy, deployed=None, retrained=None):
    outcome = f"deployed: {deployed}" if deployed else f"trained again: {retrained}"
    return f"accuracy {accuracy:.2f}, {outcome}"


def good_enough(accuracy, threshold):
    return accuracy >= threshold


def accuracy_of(cut, rows):
    return sum((hours >= cut) == bool(passed) for hours, passed in rows) / len(rows)


def best_cut(rows):
    return max((hours for hours, _ in rows), key=lambda cut: accuracy_of(cut, rows))


pipeline = (
    Pipeline("branches", {"threshold": 0.75})
    .add_steps([train, evaluate])
    .add_control_flow(If(good_enough, deploy, retrain))
    .add_step(report)
)

if __name__ == "__main__":
    threshold = float(sys.argv[1]) if sys.argv[1:] else 0.75
    result = pipeline.run(context={"threshold": threshold}, progress=False)
    print(result["report"])
