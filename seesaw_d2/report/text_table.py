"""LVIS metrics as text."""

METRICS = ("AP", "AP50", "AP75", "APr", "APc", "APf")
TASKS = {"bbox": "box", "segm": "mask"}


def results_table(results: dict) -> str:
    """Return box and mask AP of an evaluation as a table.

    Args:
        results: content of ``results.json``: task ("bbox", "segm") -> metric -> percent, None if undefined.
    """
    lines = ["      " + "".join(f"{metric:>7}" for metric in METRICS)]
    for task, name in TASKS.items():
        if task in results:
            lines.append(f"{name:<6}" + "".join(_cell(results[task][metric]) for metric in METRICS))
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return f"{'-':>7}" if value is None or value != value else f"{value:7.1f}"
