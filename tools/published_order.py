"""Compare the ranking of models by a metric with the ranking of the same models by published values."""

import itertools
import math
import statistics

from comparison_rows import fail


def kendall(first: list[float], second: list[float]) -> float:
    """Return Kendall's rank correlation τ_b of two lists of equal length (Kendall, 1945).

    The result is 1 for the same order, -1 for the reverse order, and NaN if all values of a list are equal.
    """
    pairs = list(itertools.combinations(zip(first, second, strict=True), 2))
    signs = [(_sign(a[0] - b[0]), _sign(a[1] - b[1])) for a, b in pairs]
    untied = [sum(pair[side] != 0 for pair in signs) for side in (0, 1)]
    return sum(x * y for x, y in signs) / math.sqrt(math.prod(untied)) if all(untied) else math.nan


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def parse_published(texts: list[str]) -> dict[str, float]:
    """Parse arguments ROW=VALUE, such as "CE=7.7". Return a dict from the name of a row to its published value.

    The name of a row may contain "=".

    Raises:
        SeesawError: an argument is not ROW=NUMBER, a row has two values, or there are fewer than two rows.
    """
    found = {}
    for text in texts:
        row, _, value = text.rpartition("=")
        if row in found:
            fail(f"published: expected one value of each row, found a second value of row {row!r}: {text!r}")
        try:
            found[row] = float(value)
        except ValueError:
            found[row] = math.nan
        if not row or not math.isfinite(found[row]):
            fail(f"published: expected ROW=NUMBER, found {text!r}")
    if len(found) < 2:
        fail(f"published: expected at least 2 rows, found {len(found)}")
    return found


def order(rows: dict[str, dict[int, dict]], task: str, metric: str, published: list[float]) -> str:
    """Return Kendall's τ_b between the published values and a metric of the rows, as lines of text.

    The first line compares the means over the seeds. Each further line compares the values of one seed. Seeds without a
    run of every row have no line. If the rows have different seeds, the last line lists the seeds of each row.

    Args:
        rows: dict from the name of a row (a model) to a dict from seed to results, in the order of ``published``.
        task, metric: the metric to compare, such as "bbox" and "AP", as in results.json.
        published: published value of each row.

    Raises:
        SeesawError: a run does not have the metric.
    """
    values = []
    for row, runs in rows.items():
        metrics = {seed: run.get(task) for seed, run in runs.items()}
        values.append({seed: found.get(metric) if isinstance(found, dict) else None for seed, found in metrics.items()})
        if not all(type(value) in (int, float) for value in values[-1].values()):
            fail(f"{task} {metric}: a run of the row {row!r} lacks this metric. All rows must have it.")
    columns = {"means": [statistics.mean(found.values()) for found in values]}
    for seed in sorted(set.intersection(*(set(found) for found in values))):
        columns[f"seed {seed}"] = [found[seed] for found in values]
    lines = [f"{name:<8}τ = {kendall(published, column):5.2f}" for name, column in columns.items()]
    if len({frozenset(runs) for runs in rows.values()}) > 1:
        seeds = "; ".join(f"{row!r}: {', '.join(map(str, sorted(runs)))}" for row, runs in rows.items())
        lines.append(f"note    the rows have different seeds, so the means are over different seeds. {seeds}")
    return "\n".join(lines)
