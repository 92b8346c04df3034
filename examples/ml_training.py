"""Train a classifier: three steps with different requirements share one instance.

Run it, or only plan it (its dependencies: `pip install 'flowyml-aws[examples]'`):

    python examples/ml_training.py
    flowyml-aws plan examples/ml_training.py --backend batch
"""

import sys

import numpy as np
from sklearn.datasets import load_breast_cancer

from flowyml_aws import Pipeline, step
from flowyml_aws.core.resources import GPUConfig, ResourceRequirements


@step(
    outputs=["dataset"],
    execution_group="training",
    resources=ResourceRequirements(cpu="4", memory="8Gi"),
)
def prepare_dataset():
    return load_and_preprocess()


@step(
    inputs=["dataset"],
    outputs=["model"],
    execution_group="training",
    resources=ResourceRequirements(
        cpu="8",
        memory="32Gi",
        gpu=GPUConfig("nvidia-a100", count=2),
    ),
)
def train_model(dataset):
    return train(dataset, epochs=100)


@step(
    inputs=["model"],
    outputs=["metrics"],
    execution_group="training",
    resources=ResourceRequirements(cpu="2", memory="4Gi"),
)
def evaluate_model(model):
    return evaluate(model)


# The entire training workflow runs on one A100 instance: 8 CPUs, 32 GiB, 2 × A100.
pipeline = Pipeline("ml_training").add_steps([prepare_dataset, train_model, evaluate_model])


def load_and_preprocess():
    """Load measurements of 569 tumours, standardize them, and hold out every fourth for testing."""
    x, y = load_breast_cancer(return_X_y=True)
    held_out = np.arange(len(y)) % 4 == 3
    mean, deviation = x[~held_out].mean(axis=0), x[~held_out].std(axis=0)
    x = (x - mean) / deviation
    return {"train": (x[~held_out], y[~held_out]), "test": (x[held_out], y[held_out])}


def train(dataset, epochs, rate=0.5):
    """Train a logistic regression by gradient descent; the result contains the test data."""
    x, y = dataset["train"]
    weights, bias = np.zeros(x.shape[1]), 0.0
    for epoch in range(epochs):
        error = probability(x, weights, bias) - y
        weights -= rate * x.T @ error / len(y)
        bias -= rate * error.mean()
        if epoch % 20 == 19:
            print(f"epoch {epoch + 1}: mean error {np.abs(error).mean():.4f}")
    return {"weights": weights, "bias": float(bias), "test": dataset["test"]}


def evaluate(model):
    x, y = model["test"]
    predicted = probability(x, model["weights"], model["bias"]) > 0.5
    return {"accuracy": float((predicted == y).mean()), "samples": len(y)}


def probability(x, weights, bias):
    return 1 / (1 + np.exp(-(x @ weights + bias)))


if __name__ == "__main__":
    result = pipeline.run()
    if result.success:
        print(f"accuracy {result['metrics']['accuracy']:.4f}")
    sys.exit(0 if result.success else 1)
