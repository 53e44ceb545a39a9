"""Compute accuracies over the test images of several runs of image classifiers, for ``run_results.py pooled``."""

from pathlib import Path

from comparison_rows import fail


def classifiers(runs: list[dict], rows: list[str], seed: int, path: Path) -> list[dict]:
    """Return the run of each of the given rows (models) with the given seed.

    Args:
        runs: all runs in the file ``path``, as ``run_results.read_runs`` returns them.
        rows: names of rows. A name that occurs twice counts once.
        seed: seed of the runs.
        path: file with the runs, for messages.

    Raises:
        ConfigError: a row has no run of an image classifier with this seed, or an earlier version wrote the run.
    """
    chosen = {run["row"]: run for run in runs if run["seed"] == seed and "classes" in run}
    for name in rows:
        if name not in chosen:
            fail(f"--rows: row {name!r} has no run of an image classifier with seed {seed}")
        if type(chosen[name].get("few_limit")) is not int:
            fail(
                f"{path}: row {name!r}, seed {seed}: the integer few_limit is missing, because an earlier version of "
                "this program wrote the file. Use the command collect again."
            )
    return [chosen[name] for name in dict.fromkeys(rows)]


def pooled(runs: list[dict]) -> str:
    """Return three lines of text with accuracies over the test images of all runs together, in percent.

    The lines contain the accuracy over all images, the accuracy over images of few-shot classes, and the precision of
    predictions of few-shot classes.

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
