"""Build the charts and tables of the detection report."""

import os
from collections.abc import Sequence
from typing import Any

from lvis import LVIS

from seesaw_d2.evaluation.detection_metrics import group_members
from seesaw_d2.evaluation.evaluation_settings import tell_replaced_results
from seesaw_d2.frequency_groups import GROUP_NAMES, NAME_OF_LETTER
from seesaw_d2.report import charts
from seesaw_d2.report.architectures import architecture_differences
from seesaw_d2.report.gallery import confusion_crops
from seesaw_d2.report.run_folders import Run
from seesaw_d2.report.setting_differences import setting_differences

_CURVES = (("total_loss", "loss"), ("lr", "learning rate"), ("fast_rcnn/fg_cls_accuracy", "foreground accuracy"))


def build_sections(
    runs: list[Run],
    evaluated: list[dict[str, Any]],
    ground_truth: LVIS,
    ids: Sequence[int],
    counts: dict[str, list[int]] | None,
    files: dict[int, str],
    thresholds: Sequence[int],
) -> dict[str, Any]:
    """Return the variables of the HTML template for the charts and tables.

    Args:
        runs: the compared runs.
        evaluated: for each run, a dict with "metrics", "rows" (AP of each category), "outcome" (predicted category of
            each object) and "description" of its evaluation.
        ground_truth: ground truth of the dataset.
        ids: category id of each class index.
        counts: dict with "images" and "instances", the numbers of training images and training instances of each class.
            None if unknown.
        files: dict from image id to the path of the image. The report shows crops of confused objects from these
            images. If the dict is empty, the report shows no crops.
        thresholds: DATASETS.FREQUENCY_THRESHOLDS. Charts over training images have vertical lines at these values.
    """
    members = {letter: found for letter, found in group_members(ground_truth).items() if found}
    groups = NAME_OF_LETTER if getattr(ground_truth, "groups_known", True) else dict.fromkeys(members, "all")
    names = {key: ground_truth.cats[key]["name"] for key in ids}
    answers = [entry["outcome"].groups(members) for entry in evaluated]
    drawn = _answer_charts(answers, {letter: groups[letter] for letter in members}, [run.name for run in runs])
    drawn |= _frequency_charts(runs, evaluated, ids, names, counts, thresholds)
    drawn |= _curve_charts(runs) | _ground_truth_box_charts(runs)
    tail = "r" if "r" in members else next(iter(members))
    confusions = []
    for entry in evaluated:
        outcome = entry["outcome"]
        rows = outcome.confusions(members[tail])
        crops = confusion_crops(outcome, [(a, b) for a, b, _, _ in rows], files)
        every = [(names[a], names[b], n, total) for a, b, n, total in outcome.confusions(set(ids))]
        shown = [(names[a], names[b], n, total, crops[a, b]) for a, b, n, total in rows]
        confusions.append({"tail": shown, "all": every})
    return {
        "headline": _headline(runs, evaluated),
        "differences": setting_differences(runs, evaluated),
        "architectures": architecture_differences([run.config for run in runs]),
        "other_settings": {
            run.name: found for run in runs if (found := tell_replaced_results(os.path.dirname(run.results_file)))
        },
        "thresholds": thresholds,
        "with_crops": bool(files),
        "answers": answers,
        "members": members,
        "group_names": groups,
        "charts": drawn,
        "confusions": confusions,
        "tail_name": groups[tail],
        "categories": _category_table(evaluated, ids, ground_truth, counts),
    }


def _answer_charts(answers, groups: dict[str, str], runs: list[str]) -> dict[str, Any]:
    """Return charts of the predictions for objects of each frequency group, a dict from chart name to SVG.

    Args:
        answers: for each run, the result of ``Outcome.groups``: percentages of right, wrong and missing predictions in
            each group.
        groups: dict from the letter of a frequency group ("r", "c" or "f") to its name.
        runs: names of the runs.
    """
    labels = list(groups.values())
    found = {}
    for key, title in (
        ("right", "Objects predicted as their category"),
        ("wrong", "Objects predicted as another category"),
        ("none", "Objects without a detection"),
    ):
        series = [[answer[letter][key] for letter in groups] for answer in answers]
        found[key] = charts.bars(title, labels, series, "% of objects", runs=runs, top=100)
    bins = [f"{low / 10:g}" for low in range(10)]
    shares = {letter: [_shares(answer[letter]) for answer in answers] for letter in groups}
    top = max((value for series in shares.values() for one in series for value in one), default=0) or None
    for letter, series in shares.items():  # all charts have the same y range, so that readers can compare them
        title = f"Scores of right predictions, {groups[letter]} categories"
        found[f"scores_{letter}"] = charts.bars(
            title, bins, series, "% of objects", x_label="score, from", runs=runs, top=top
        )
    return found


def _shares(answer: dict[str, Any]) -> list[float]:
    """Return the histogram of the scores of correct predictions, in percent of all objects of the frequency group.

    ``answer`` has the number of objects ("objects") and the number of correct predictions in each bin ("histogram").
    """
    return [100 * count / max(answer["objects"], 1) for count in answer["histogram"]]


def _frequency_charts(runs, evaluated, ids, names, counts, thresholds) -> dict[str, Any]:
    if counts is None:
        return {}
    images = counts["images"]
    ap, norms, seen = [], [], []
    for run, entry in zip(runs, evaluated, strict=True):
        task = "bbox" if "bbox" in entry["rows"] else next(iter(entry["rows"]))
        by_id = {row["id"]: row["AP"] for row in entry["rows"][task]}
        triples = [(n, by_id[key], f"{names[key]}: AP {by_id[key]:.1f}") for n, key in zip(images, ids, strict=True)]
        ap.append([point for point in triples if point[1] == point[1]])
        norms.append(list(zip(images, run.weight_norms or [], [names[i] for i in ids], strict=False)))
        seen.append(list(zip(counts["instances"], run.class_counts or [], [names[i] for i in ids], strict=False)))
    title = "Class counts of the loss over training instances"
    shared: dict[str, Any] = {"runs": [run.name for run in runs]}
    by_images = {**shared, "guides": thresholds}
    return {
        "ap": charts.scatter("AP of each category over its training images", ap, "training images", "AP", **by_images),
        "norms": charts.scatter("Norm of the classifier's weights", norms, "training images", "norm", **by_images),
        "counts": charts.scatter(title, seen, "training instances", "class count", log_y=True, **shared),
    }


def _curve_charts(runs: list[Run]) -> dict[str, Any]:
    found = {}
    for key, title in (*_CURVES, *((f"fast_rcnn/class_accuracy_{g}", f"accuracy, {g}") for g in GROUP_NAMES)):
        series = [[(line["iteration"], line[key]) for line in run.curves if key in line] for run in runs]
        if any(series):
            # All charts of accuracy have the y range [0, 1], so that readers can compare them.
            label, top = ("accuracy", 1) if "accuracy" in title else ("", None)
            names = [run.name for run in runs]
            found[f"curve_{title}"] = charts.lines(
                f"{title} during training", series, "iteration", label, name=title, runs=names, top=top
            )
    return found


def _ground_truth_box_charts(runs: list[Run]) -> dict[str, Any]:
    if not any(run.classification for run in runs):
        return {}
    groups = [group for group in GROUP_NAMES if any(group in (r.classification or {}).get("groups", {}) for r in runs)]
    found = {}
    for key, title in (("accuracy", "Right category"), ("background", "Background has the highest score")):
        series = [
            [((run.classification or {}).get("groups", {}).get(group) or {}).get(key) for group in groups]
            for run in runs
        ]
        found[f"boxes_{key}"] = charts.bars(
            f"{title}, ground-truth boxes as proposals",
            groups,
            series,
            "% of objects",
            runs=[run.name for run in runs],
            top=100,
        )
    return found


def _category_table(evaluated, ids, ground_truth: LVIS, counts) -> list[dict[str, Any]]:
    rows = []
    task = "segm" if all("segm" in entry["rows"] for entry in evaluated) else "bbox"
    tables = [{row["id"]: row for row in entry["rows"][task]} for entry in evaluated if task in entry["rows"]]
    for index, key in enumerate(ids):
        aps = [table[key]["AP"] for table in tables]
        rows.append(
            {
                "name": ground_truth.cats[key]["name"],
                "group": ground_truth.cats[key]["frequency"],
                "images": counts["images"][index] if counts else None,
                "val": tables[0][key]["val_instances"] if tables else 0,
                "ap": [value if value == value else None for value in aps],
            }
        )
    return rows


def _headline(runs: Sequence[Run], evaluated: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the main result of the report as text: the AP of the first run and of the last run.

    The AP is mask AP if all runs have mask AP, otherwise box AP. It is averaged over the rare categories or, if AP of
    rare categories is undefined, over all categories.

    Returns:
        a dict with "text", such as "rare 41.9 → 52.0 AP", and "note", an explanation of the text. Both values are "" if
        no AP is defined.
    """
    task = "segm" if all("segm" in entry["metrics"] for entry in evaluated) else "bbox"
    found = [entry["metrics"].get(task, {}) for entry in (evaluated[0], evaluated[-1])][: len(evaluated)]
    parts = {}
    for metric, word in (("APr", "rare"), ("AP", "all")):
        values = [metrics.get(metric) for metrics in found]
        if all(value is not None and value == value for value in values):
            parts[word] = f"{word} {' → '.join(f'{value:.1f}' for value in values)} AP"
    if not parts:
        return {"text": "", "note": ""}
    text, *others = parts.values()
    words = {"segm": "masks", "bbox": "boxes"}[task]
    names = f": {runs[0].name} → {runs[-1].name}" if len(runs) > 1 else ""
    return {"text": text, "note": "; ".join([f"AP of {words}, in percent{names}", *others])}
