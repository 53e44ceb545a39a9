"""Convert the output of tests and benchmarks to rows (case, result) of a table."""

import json
import re
from pathlib import Path

Rows = list[tuple[str, str]]
# Box AP of the quickstart config in trainings on CPUs, mean ± standard deviation of 3 seeds (see docs/glyphs.md).
CPU_AP = {"AP": "36.9 ± 0.7", "APr": "20.3 ± 0.6", "APc": "38.8 ± 0.7", "APf": "48.0 ± 1.3"}
THEIRS, THEIR_AMP = "Detectron2's", "Detectron2's, AMP"


class Unreadable(ValueError):
    """Error for an output that does not contain the expected lines."""


def tests(output: str, folder: Path) -> Rows:
    """Return rows with pytest's summary, the reasons of skipped tests, and the names of failed tests."""
    summary = re.findall(r"^(?:=+ )?((?:\d+ \w+(?:, )?)+) in [\d.]+s", output, re.MULTILINE)
    if not summary:
        raise Unreadable("expected a summary of pytest in the output, found no summary")
    skipped = re.findall(r"^SKIPPED \[(\d+)\] [^:]+:?\d*: (.*)$", output, re.MULTILINE)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)(?: - (.*))?$", output, re.MULTILINE)
    rows = [("all", summary[-1])]
    rows += [(f"skipped: {count}", reason) for count, reason in skipped]
    return rows + [(f"failed: {name}", reason.replace("|", "/")) for name, reason in failed]


def losses(output: str, folder: Path) -> Rows:
    """Return rows with the time of Seesaw Loss and with two ratios of times.

    The first ratio is the time of Seesaw Loss divided by the time of cross-entropy. The second ratio is the time of
    MMDetection's algorithm divided by the time of Seesaw Loss.
    """
    return [
        (
            f"C = {row['C']}, {row['foreground']} foreground",
            f"{row['ours ms']} ms; / cross-entropy {row['ours / cross-entropy']}; "
            f"MMDetection's algorithm / ours {row['reference / ours']}",
        )
        for row in _table(output)
    ]


def mask_heads(output: str, folder: Path) -> Rows:
    """Return rows with the time and the peak memory of each mask head, absolute and relative to Detectron2's head."""
    return [
        (
            f"C = {row['C']}, {row['regions']} regions, {row['pass']}, {row['head']}",
            f"{1e3 * float(row['s']):.2f} ms, {row['peak MB']} MB; / Detectron2's: time {row['time / detectron2']}, "
            f"memory {row['memory / detectron2']}",
        )
        for row in _table(output)
    ]


def iteration(output: str, folder: Path) -> Rows:
    """Return rows with images per second and peak memory, absolute and relative to Detectron2's trainer.

    If the output contains Detectron2's AMPTrainer, the values are relative to this trainer.
    """
    table = _table(output)
    speed = {row["which"]: float(row["images / s"]) for row in table}
    memory = {row["which"]: float(row["peak MB"]) for row in table}
    base = THEIR_AMP if THEIR_AMP in speed else THEIRS
    if base not in speed:
        raise Unreadable(f"expected a row {THEIRS!r} in the output, found the rows {', '.join(map(repr, speed))}")
    rows = []
    for row in table:
        name = row["which"]
        rows.append(
            (
                f"{row['pass']}, {name}",
                f"{speed[name]:.1f} images/s ({speed[name] / speed[base]:.2f}), {memory[name] / 1e3:.2f} GB "
                f"({memory[name] / memory[base]:.2f} of {base})",
            )
        )
    return rows


def quickstart(output: str, folder: Path) -> Rows:
    """Return rows with the box AP of the training, and the box AP of trainings on CPUs for comparison."""
    path = folder / "quickstart/inference/glyphs_val/results.json"
    expected = f'{path}: expected a results file with the key "bbox", found'
    try:
        content = json.loads(path.read_text())
        found = content["bbox"]
    except OSError as error:
        raise Unreadable(f"{expected} no readable file: {error.strerror}") from error
    except ValueError as error:
        raise Unreadable(f"{expected} invalid JSON: {error}") from error
    except KeyError as error:
        raise Unreadable(f"{expected} the keys {list(content)}") from error
    return [(f"box {name}", f"{found[name]:.1f} (CPUs: {expected})") for name, expected in CPU_AP.items()]


def _table(output: str) -> list[dict[str, str]]:
    """Return the rows of the Markdown table in an output as dicts from column name to cell."""
    lines = [line.strip().strip("|").split("|") for line in output.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    if len(cells) < 3:
        raise Unreadable("expected a table in the output, found no table")
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
