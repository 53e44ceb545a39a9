"""Format LVIS metrics as a text table."""

METRICS = ("AP", "AP50", "AP75", "APr", "APc", "APf")
TASKS = {"bbox": "box", "segm": "mask"}


def results_table(results: dict) -> str:
    """Return a text table of the box and mask metrics of an evaluation.

    Args:
        results: content of ``results.json``, a dict from a task ("bbox" or "segm") to a dict from a metric to its value
            in percent. An undefined value is None.
    """
    lines = ["      " + "".join(f"{metric:>7}" for metric in METRICS)]
    for task, name in TASKS.items():
        if task in results:
            lines.append(f"{name:<6}" + "".join(_cell(results[task][metric]) for metric in METRICS))
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return f"{'-':>7}" if value is None or value != value else f"{value:7.1f}"
