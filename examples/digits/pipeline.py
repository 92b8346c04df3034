"""Recognize handwritten digits: prepare on a CPU, tune and train on a GPU, evaluate on a CPU.

Run it, or only plan it (its dependencies: `pip install 'flowyml-aws[examples]'`):

    python examples/digits/pipeline.py                             on this machine, with a report
    flowyml-aws run examples/digits/pipeline.py                    on this machine
    flowyml-aws plan examples/digits/pipeline.py --backend batch   instance types and cost on AWS
    flowyml-aws run examples/digits/pipeline.py --backend batch    as three AWS Batch jobs
"""

import importlib
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold, train_test_split

from flowyml_aws import (
    Context,
    GPUConfig,
    Pipeline,
    PipelineResult,
    ResourceRequirements,
    log_image,
    log_metric,
    log_table,
    step,
)

# The group "prepare": three steps, one small CPU job.
SMALL = ResourceRequirements(cpu="1", memory="3Gi")


@step(outputs=["images", "labels"], execution_group="prepare", resources=SMALL)
def load():
    """Return 1,797 scans of 8 × 8 pixels, and the digit in each of them."""
    images, labels = load_digits(return_X_y=True)
    print(f"loaded {len(images)} images of {images.shape[1]} pixels")
    return images, labels


@step(
    inputs=["images", "labels"],
    outputs=["clean_images", "clean_labels"],
    execution_group="prepare",
    resources=SMALL,
)
def clean(images, labels):
    """Drop duplicate images and constant pixels; scale the brightness from 0 to 1."""
    _, first = np.unique(images, axis=0, return_index=True)
    kept = np.sort(first)
    varying = images.std(axis=0) > 0
    print(f"kept {len(kept)} of {len(images)} images, {varying.sum()} of {len(varying)} pixels")
    return images[kept][:, varying] / 16, labels[kept]


# `test_size` and `seed` are neither inputs nor defaults: they come from the pipeline's context.
@step(
    inputs=["clean_images", "clean_labels"],
    outputs=["train_images", "test_images", "train_labels", "test_labels"],
    execution_group="prepare",
    resources=SMALL,
)
def split(clean_images, clean_labels, test_size, seed):
    """Split into training and test images, with the same share of each digit in both."""
    return train_test_split(
        clean_images, clean_labels, test_size=test_size, random_state=seed, stratify=clean_labels
    )


# The group "training": two steps, one GPU job. Each step declares its own requirements; the job
# gets the maximum of each: 4 CPUs, 12 GiB and the GPU.
@step(
    inputs=["train_images", "train_labels"],
    outputs=["best"],
    execution_group="training",
    resources=ResourceRequirements(cpu="4", memory="12Gi", gpu=GPUConfig("nvidia-t4")),
)
def tune(train_images, train_labels, candidates, folds, seed):
    """Return the candidate with the best accuracy on unseen images, by cross-validation."""
    print(f"tuning on the {'GPU' if gpu_library() else 'CPU'}")
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    parts = list(splitter.split(train_images, train_labels))
    scores = []
    for candidate in candidates:
        hits = [
            predict(fit(train_images[seen], train_labels[seen], **candidate), train_images[unseen])
            == train_labels[unseen]
            for seen, unseen in parts
        ]
        scores.append(float(np.concatenate(hits).mean()))
        log_metric("accuracy", scores[-1])
        print(f"{candidate}: {scores[-1]:.4f}")
    tried = zip(candidates, scores, strict=True)
    log_table("candidates", [{**candidate, "accuracy": score} for candidate, score in tried])
    return candidates[int(np.argmax(scores))]


@step(
    inputs=["train_images", "train_labels", "best"],
    outputs=["model"],
    execution_group="training",
    resources=ResourceRequirements(cpu="2", memory="8Gi", gpu=GPUConfig("nvidia-t4")),
)
def train(train_images, train_labels, best):
    """Fit the model to all training images, with the best candidate."""
    print(f"training on the {'GPU' if gpu_library() else 'CPU'}")
    return fit(train_images, train_labels, **best)


# A step without a group runs in a separate job.
@step(
    inputs=["model", "test_images", "test_labels"],
    outputs=["metrics", "confusion_matrix"],
    resources=ResourceRequirements(cpu="1", memory="2Gi"),
)
def evaluate(model, test_images, test_labels):
    """Return metrics and a confusion matrix for unseen images."""
    predicted = predict(model, test_images)
    metrics = {
        "accuracy": float(accuracy_score(test_labels, predicted)),
        "f1": float(f1_score(test_labels, predicted, average="macro")),
        "images": len(test_labels),
        "misread": int((predicted != test_labels).sum()),
    }
    # Logged values are in the run's report: `flowyml-aws report RUN`.
    log_metric("accuracy", metrics["accuracy"])
    log_metric("f1", metrics["f1"])
    # The file's content is stored; reading this asset returns the path of a copy.
    picture = Path(tempfile.mkdtemp(), "confusion_matrix.png")
    draw_confusion_matrix(test_labels, predicted, picture)
    return metrics, picture


def fit(images, labels, gamma, alpha):
    """Fit a kernel ridge regression with one column per digit and one row per image."""
    xp, options = array_library()
    x, y = xp.asarray(images, **options), xp.asarray(np.eye(10)[labels], **options)
    weights = xp.linalg.solve(kernel(xp, x, x, gamma) + alpha * xp.eye(len(x), **options), y)
    # NumPy arrays, which can be read without a GPU and without torch.
    return {"images": images, "weights": np.array(weights.tolist()), "gamma": gamma}


def predict(model, images):
    """Return the predicted digit of each image."""
    xp, options = array_library()
    known, weights, x = (
        xp.asarray(values, **options) for values in (model["images"], model["weights"], images)
    )
    scores = kernel(xp, x, known, model["gamma"]) @ weights
    return np.array(scores.tolist()).argmax(axis=1)


def kernel(xp, a, b, gamma):
    """Return the similarity of images: 1 if they are equal, towards 0 with growing distance."""
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * a @ b.T
    return xp.exp(-gamma * squares)


def array_library():
    """Return torch or numpy, and its options for new arrays; both have the functions used here.

    Both use 64-bit floats, so that a GPU and a CPU give the same result.
    """
    if torch := gpu_library():
        return torch, {"dtype": torch.float64, "device": "cuda"}
    return np, {"dtype": np.float64}


def gpu_library():
    """Return torch if it is installed and finds a GPU, otherwise None."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def draw_confusion_matrix(actual, predicted, file):
    import matplotlib  # imported here, as only this step needs it

    matplotlib.use("Agg")  # draws without a display
    plot = ConfusionMatrixDisplay.from_predictions(actual, predicted, cmap="Blues", colorbar=False)
    plot.ax_.set_title("Actual and predicted digits")
    plot.figure_.savefig(file, dpi=120, bbox_inches="tight")
    log_image("confusion matrix", plot.figure_)


# Assets determine the order of the steps; the context provides parameters by name.
pipeline = Pipeline(
    "digits",
    context=Context(
        test_size=0.25,
        seed=7,
        folds=3,
        candidates=[
            {"gamma": 0.03, "alpha": 0.001},
            {"gamma": 0.1, "alpha": 0.001},
            {"gamma": 0.1, "alpha": 0.1},
            {"gamma": 0.3, "alpha": 0.01},
        ],
    ),
).add_steps([load, clean, split, tune, train, evaluate])


def report(result: PipelineResult) -> None:
    # Imported here, as jobs also import this file but print no report.
    from rich.console import Console

    from flowyml_aws.view import plan_table, program

    metrics = result["metrics"]
    store = (result.step_results["evaluate"].artifact_uri or "").partition("/artifacts/")[0]
    print(f"\naccuracy  {metrics['accuracy']:.4f}", end="")
    print(f"  ({metrics['misread']} of {metrics['images']} unseen images misread)")
    print(f"picture   {result['confusion_matrix']}")
    print(f"store     {store}")
    print(f"log       {program()} logs {result.run_id} training")
    print("\nThe same run on AWS Batch:\n")
    Console().print(plan_table(pipeline.plan(backend="batch")))


# Jobs import this file to load their steps, so the run is started only in the main program.
if __name__ == "__main__":
    result = pipeline.run()
    if result.success:
        report(result)
    sys.exit(0 if result.success else 1)
