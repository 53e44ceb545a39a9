"""The result of a comparison of losses as text."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def comparison_table(result: Mapping[str, Any]) -> str:
    """Return the ranking, how sure it is, the test result and the config of the best method.

    Args:
        result: of ``choosing.choose_loss``.
    """
    best = result["ranking"][0]
    lines = [
        f"Held-out training images, mean ± standard deviation over {result['options']['seeds']} seeds:",
        *_table(result["ranking"]),
        "",
        *_certainty(result),
        "",
        "Test images:",
        *_table(result["test"]),
        "",
        f"config     {' '.join(f'{key} {_word(value)}' for key, value in best['config'].items())}",
        f"results    {result['output']}/choose_loss.json",
    ]
    lines += [f"left out   {name}: {reason}" for name, reason in result["refused"].items()]
    return "\n".join(lines)


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = list(rows[0]["metrics"])
    width = max(len(row["name"]) for row in rows)
    lines = [" " * width + "".join(f"{name:>14}" for name in names)]
    for row in rows:
        lines.append(f"{row['name']:<{width}}" + "".join(f"{_spread(row['metrics'][name]):>14}" for name in names))
    return lines


def _certainty(result: Mapping[str, Any]) -> list[str]:
    found = result["difference"]
    if found is None:
        return ["There is one method: nothing to compare."]
    first, second = result["ranking"][:2]
    deviation = "" if found["deviation"] is None else f" ± {found['deviation']:.1f}"
    text = (
        f"{result['metric']} of {first['name']} minus {second['name']}, by seed: {found['mean']:+.1f}{deviation}, "
        f"positive in {found['wins']} of {found['count']}."
    )
    said = "The first is better." if found["clear"] else "These seeds do not tell which of the two is better."
    return [text, said]


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = f"{np.mean(known):.1f}"
    return mean if len(known) < 2 else f"{mean} ± {np.std(known, ddof=1):.1f}"


def _word(value: Any) -> str:
    text = str(value)
    return f'"{text}"' if " " in text else text
