"""Compute accuracies over the test images of several runs of image classifiers, for ``run_results.py pooled``."""

import itertools
import sys
from pathlib import Path

from comparison_rows import fail


def classifiers(runs: list[dict], rows: list[str], seed: int, path: Path) -> list[dict]:
    """Return the run of each of the given rows (models) with the given seed.

    Args:
        runs: all runs in the file ``path``, as ``run_results.read_runs`` returns them.
        rows: names of rows. A name that occurs twice counts once.
        seed: seed of the runs.
        path: file with the runs, for messages.

    Print a note to stderr for two rows that seem to have the same test images.

    Raises:
        ConfigError: a row has no run of an image classifier with this seed, an earlier version wrote the run, or the
            counts of a class are invalid.
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
        _check_classes(f"{path}: row {name!r}, seed {seed}", chosen[name]["classes"])
    found = [chosen[name] for name in dict.fromkeys(rows)]
    for first, second in itertools.combinations(found, 2):
        images = [{name: count[1] for name, count in run["classes"].items()} for run in (first, second)]
        if images[0] == images[1]:
            print(
                f"note: rows {first['row']!r} and {second['row']!r} have equal numbers of test images in each class. "
                "If they have the same test images, each image counts twice.",
                file=sys.stderr,
            )
    return found


def _check_classes(place: str, classes) -> None:
    """Raise ConfigError unless ``classes`` is a dict from a class name to four counts. ``place`` names the run."""
    from seesaw_d2.utils.messages import json_type

    if not isinstance(classes, dict):
        fail(f"{place}: classes: expected an object of classes, found {json_type(classes)}")
    for name, counts in classes.items():
        valid = isinstance(counts, list) and len(counts) == 4 and all(type(n) is int and n >= 0 for n in counts)
        if not valid or counts[2] > min(counts[1], counts[3]):
            fail(
                f"{place}: classes: {name!r}: expected the numbers of training images, test images, correct "
                f"predictions and predictions, found {counts}"
            )


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
