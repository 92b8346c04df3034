"""A sweep: train a classifier of digits with 40 combinations of parameters, and keep the best.

Run it, or only plan it (its dependencies: `pip install 'flowyml-aws[examples]'`):

    python examples/sweep/pipeline.py                               on this machine
    flowyml-aws plan examples/sweep/pipeline.py --backend batch     jobs and cost on AWS
    flowyml-aws run examples/sweep/pipeline.py --sweep fit=examples/sweep/trials.csv
                                                                    the trials of a table
"""

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

from flowyml_aws import Context, Pipeline, PipelineResult, ResourceRequirements, log_metric, step

SMALL = ResourceRequirements(cpu="1", memory="2Gi")


@step(outputs=["train_set", "test_set"], resources=SMALL)
def split(seed: int):
    """Return images and digits for training and for tests."""
    images, digits = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, digits, test_size=0.3, random_state=seed, stratify=digits)
    train_images, test_images, train_digits, test_digits = parts
    return (train_images, train_digits), (test_images, test_digits)


# Written for one trial. The map below calls it for each combination of `alpha` and `penalty`.
@step(inputs=["train_set", "test_set"], outputs=["trial"], resources=SMALL)
def fit(train_set, test_set, alpha: float, penalty: str, epochs: int, seed: int):
    """Train with one combination of parameters, and return it with its accuracy."""
    model = SGDClassifier(
        alpha=alpha, penalty=penalty, max_iter=epochs, tol=None, random_state=seed
    )
    model.fit(*train_set)
    accuracy = accuracy_score(test_set[1], model.predict(test_set[0]))
    log_metric("accuracy", accuracy)
    return {"alpha": alpha, "penalty": penalty, "accuracy": accuracy}


@step(inputs=["trial"], outputs=["best"], resources=SMALL)
def select(trial: list):
    """Return the best of all trials."""
    print(f"{len(trial)} trials")
    return max(trial, key=lambda each: each["accuracy"])


alphas = [10.0**-exponent for exponent in range(1, 11)]
penalties = ["l2", "l1", "elasticnet", "none"]  # scikit-learn has no penalty "none": it is None

pipeline = Pipeline("sweep", Context(seed=0, epochs=20))
pipeline.add_step(split)
# A failed trial is left out, if at least 70 % succeed.
pipeline.add_step(
    fit.map(grid={"penalty": penalties, "alpha": alphas}, on_item_failure="drop", min_success=0.7)
)
pipeline.add_step(select)


def show(result: PipelineResult) -> None:
    """Print the trials and the best one."""
    for trial in sorted(result["trial"], key=lambda each: -each["accuracy"])[:5]:
        print(f"accuracy {trial['accuracy']:.3f}  {trial['penalty']:<10}  alpha {trial['alpha']:g}")
    print(f"best {result['best']}")


if __name__ == "__main__":
    show(pipeline.run())
