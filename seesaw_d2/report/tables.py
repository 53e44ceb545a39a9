"""LVIS results as text."""

METRICS = ("AP", "AP50", "AP75", "APr", "APc", "APf")
TASKS = {"bbox": "box", "segm": "mask"}


def results_table(results: dict) -> str:
    """Box and mask AP of one evaluation as a table.

    Args:
        results: task ("bbox", "segm") -> metric -> percent, as an evaluator returns them.
    """
    lines = ["      " + "".join(f"{metric:>7}" for metric in METRICS)]
    for task, name in TASKS.items():
        if task in results:
            lines.append(f"{name:<6}" + "".join(f"{results[task][metric]:7.1f}" for metric in METRICS))
    return "\n".join(lines)
