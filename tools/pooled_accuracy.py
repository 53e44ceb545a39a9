"""Compute accuracies over the test images of several runs of image classifiers, for ``run_results.py pooled``."""


def pooled(runs: list[dict]) -> str:
    """Return lines of text with the accuracies over the test images of all runs, in percent.

    Args:
        runs: runs of image classifiers, each a dict with these keys:

            - "classes": dict from a class name to its numbers of training images, test images, correct predictions and
              predictions.
            - "few_limit": maximum number of training images of a few-shot class in this run. A class can be few-shot in
              one run and medium-shot in another run.
    """
    counts = [count for run in runs for count in run["classes"].values()]
    few = [count for run in runs for count in run["classes"].values() if count[0] <= run["few_limit"]]
    return "\n".join(
        (
            _share("overall", counts, 2, 1, "test images"),
            _share("few", few, 2, 1, "test images of few-shot classes"),
            _share("few precision", few, 2, 3, "predictions of few-shot classes"),
        )
    )


def _share(name: str, counts: list, part: int, whole: int, what: str) -> str:
    total = sum(count[whole] for count in counts)
    value = f"{100 * sum(count[part] for count in counts) / total:.1f} %" if total else "nan"
    return f"{name:14} {value} of {total} {what}"
