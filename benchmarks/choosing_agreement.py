#!/usr/bin/env python
"""Compare the rankings of methods by tools/choose_loss.py with the rankings by full trainings, using Kendall's τ.

    python benchmarks/choosing_agreement.py
    python benchmarks/choosing_agreement.py --without "class-balanced focal loss" --values

choosing.json contains the metrics of the tool and of the full trainings. Each printed line has τ of one ranking by the
tool, with a 95 % bootstrap interval from 2000 samples of the methods. "held out, seed 0" is the ranking on held-out
training images, as in the tool. "held out, mean" ranks by the mean over the seeds. "test" ranks on the test images.
"""

import argparse
import json
import random
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT.parent / "tools"))

from published_order import kendall  # noqa: E402


def columns_of(methods: dict[str, dict], metric: str) -> dict[str, dict[str, float]]:
    """Return the metric values with which the tool ranks the methods (losses with a type of classifier).

    Args:
        methods: dict from the name of a method to its metrics, as in choosing.json.
        metric: name of the metric, such as "AP".

    Returns:
        a dict from the name of a ranking, such as "held out, seed 0", to a dict from method to the metric. If there are
        several seeds, the ranking "held out, mean" is added.
    """
    found: dict[str, dict[str, float]] = {}
    for name, method in methods.items():
        for ranking, metrics in method["tool"].items():
            found.setdefault(ranking, {})[name] = metrics[metric]
    held_out = [values for ranking, values in found.items() if ranking.startswith("held out, seed")]
    common = set.intersection(*map(set, held_out)) if len(held_out) > 1 else set()
    if common:
        means = {name: statistics.mean(values[name] for values in held_out) for name in methods if name in common}
        found["held out, mean"] = means
    return found


def interval(full: list[float], tool: list[float], samples: int = 2000) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of Kendall's τ between two rankings of the same methods.

    Args:
        full, tool: metric of each method in full trainings, and in the tool.
        samples: number of bootstrap samples.
    """
    generator, pairs, found = random.Random(0), list(zip(full, tool, strict=True)), []
    for _ in range(samples):
        drawn = generator.choices(pairs, k=len(pairs))
        value = kendall(*map(list, zip(*drawn, strict=True)))
        found.append(value if value == value else 0.0)
    cuts = statistics.quantiles(found, n=40)
    return cuts[0], cuts[-1]


def report(data: dict, without: list[str], values: bool) -> None:
    """Print τ for each dataset, metric and ranking.

    Args:
        data: content of choosing.json.
        without: names of the methods to leave out.
        values: whether to print also the metrics of each method.
    """
    for name, content in data.items():
        methods = {key: each for key, each in content["methods"].items() if key not in without}
        print(f"{name}: {content['about']}")
        for metric in content["metrics"]:
            for ranking, tool in columns_of(methods, metric).items():
                full = [methods[key]["full"][metric] for key in tool]
                low, high = interval(full, list(tool.values()))
                tau = kendall(full, list(tool.values()))
                print(f"  {metric:<8}{ranking:<28}{len(tool):>3} methods  τ {tau:5.2f}  [{low:.2f}, {high:.2f}]")
            if values:
                for key, each in sorted(methods.items(), key=lambda item: -item[1]["full"][metric]):
                    shown = "  ".join(f"{ranking} {found[metric]:.1f}" for ranking, found in each["tool"].items())
                    print(f"    {key:<40} full {each['full'][metric]:5.1f}  {shown}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--without", action="append", default=[], metavar="METHOD", help="omit a method. Repeat the option to omit more"
    )
    parser.add_argument("--values", action="store_true", help="also print the metrics of each method")
    args = parser.parse_args()
    report(json.loads((ROOT / "choosing.json").read_text()), args.without, args.values)


if __name__ == "__main__":
    main()
