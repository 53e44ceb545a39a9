"""Read mutated files in this process, and print the results of each format as JSON and as a table.

    python -m tests.robustness.mutation.harness FOLDER COUNT [FORMAT ...]

An input is at fault if reading it takes 5 seconds, ends in anything but a result or an error of this project in one
short line, writes outside of the folders that it may write to, or runs code.
"""

import json
import logging
import os
import random
import resource
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from seesaw_d2.errors import SeesawError
from seesaw_d2.utils.messages import _already_logged
from tests.robustness.corpus import CANARY, time_limit
from tests.robustness.mutation.all_formats import FORMATS
from tests.robustness.mutation.formats import Format, out_of

SECONDS, MEGABYTES, LETTERS = 5, 200, 2000


class _LongMessages(logging.Handler):
    """Store the length of the longest logged message."""

    longest = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.longest = max(self.longest, len(record.getMessage()))


def _described(error: BaseException) -> str:
    """Return the type of an error, the last place in this project, the message and the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if any(part in each.filename for part in ("seesaw_d2", "tools", "tests"))]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
    return f"{type(error).__name__} at {where}\n{str(error)[:300]}\n{traceback.format_exc()[-3000:]}"


class Trial:
    """Restore the files of a format before each input, mutate a file, and read the files.

    Args:
        form: the format.
        root: folder without other files.
    """

    def __init__(self, form: Format, root: Path):
        self.form, self.root, self.folder = form, root, root / form.name
        self.folder.mkdir(parents=True)
        form.write(self.folder)
        self.contents = {path: path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file()}
        self.targets = [(path, mutator) for pattern, mutator in form.mutators.items() for path in self._found(pattern)]
        self.messages = _LongMessages()

    def _found(self, pattern: str) -> list[Path]:
        found = [path for path in sorted(self.folder.glob(pattern)) if path.is_file()]
        assert found, f"{self.form.name}: no {pattern}"
        return found

    def run(self, seed: int | None) -> tuple[str, str]:
        """Return the error of a refused input, and a description of what is wrong with the result, or ""."""
        changed = self._prepare(seed)
        begin, message, fault = time.process_time(), "", ""
        try:
            with time_limit(4 * SECONDS):
                self.form.read(self.folder)
        except SeesawError as error:
            message = str(error)
        except BaseException as error:
            message = str(error)
            if not isinstance(error, SystemExit) or not message.startswith("error: "):  # an error of a program
                fault = _described(error)
        if time.process_time() - begin > SECONDS:
            fault = fault or f"{time.process_time() - begin:.1f} s"
        if not fault and ("\n" in message or len(message) > LETTERS):
            fault = f"a message of {'several lines' if chr(10) in message else 'many characters'}\n{message[:300]!r}"
        if not fault and self.messages.longest > 3 * LETTERS:
            fault = f"a logged message of {self.messages.longest} characters"
        self.messages.longest = 0
        return message, fault or self._written(changed)

    def _prepare(self, seed: int | None) -> Path | None:
        for path in (self.folder, out_of(self.folder)) if self.form.writes_inside else (out_of(self.folder),):
            shutil.rmtree(path, ignore_errors=True)
        out_of(self.folder).mkdir()
        for path, content in self.contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.stat().st_size != len(content) or path.read_bytes() != content:
                path.write_bytes(content)
        _already_logged.clear()
        if seed is None:
            return None
        rng = random.Random(f"{self.form.name} {seed}")
        path, mutator = rng.choice(self.targets)
        path.write_bytes(mutator(self.contents[path], rng))
        return path

    def _written(self, changed: Path | None) -> str:
        """Return the files that were written to folders in which the reader must not write."""
        found = set(os.listdir(self.root)) - {self.form.name, "out"}
        if not self.form.writes_inside:
            paths = {path for path in self.folder.rglob("*") if path.is_file()}
            found |= {str(path) for path in paths ^ self.contents.keys()}
            kept = [path for path in paths & self.contents.keys() if path != changed]
            found |= {str(path) for path in kept if path.read_bytes() != self.contents[path]}
        return f"written: {sorted(found)}" if found else ""


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass
class Tried:
    """Store the results of a format.

    Attributes:
        inputs, refused: number of inputs, and number of refused inputs.
        faults: seed (None for the valid files) and description of each fault.
        seconds: CPU seconds.
        grown: growth of the peak memory in MB after reading the valid files.
    """

    inputs: int = 0
    refused: int = 0
    faults: list[tuple[int | None, str]] = field(default_factory=list)
    seconds: float = 0.0
    grown: float = 0.0


def try_format(form: Format, root: Path, count: int) -> Tried:
    """Read the valid files of a format, and then ``count`` mutations."""
    trial, found = Trial(form, root), Tried()
    logger = logging.getLogger("seesaw_d2")
    logger.addHandler(trial.messages)
    refused, fault = trial.run(None)
    if refused or fault:
        found.faults.append((None, f"the valid files\n{refused}{fault}"))
    base, begin = peak(), time.process_time()
    for seed in range(count):
        refused, fault = trial.run(seed)
        found.refused += bool(refused)
        found.faults += [(seed, fault)] if fault else []
    logger.removeHandler(trial.messages)
    found.inputs, found.seconds, found.grown = count, time.process_time() - begin, peak() - base
    if found.grown > MEGABYTES:
        found.faults.append((None, f"{found.grown:.0f} MB"))
    return found


def try_formats(root: Path, count: int, names: Collection[str] = ()) -> dict[str, Tried]:
    """Try formats (default: all) with ``count`` inputs for a share of 1, in the empty folder ``root``."""
    logging.getLogger("seesaw_d2").propagate = False
    os.chdir(root)
    found, folders = {}, set()
    for number, form in enumerate(FORMATS):
        if not names or form.name in names:
            folders.add(f"{number}")
            found[form.name] = try_format(form, root / f"{number}", max(round(count * form.share), 1))
    assert set(os.listdir(root)) == folders, "written outside"
    assert not list(root.rglob(CANARY)), "code was run"
    return found


def table(results: Mapping[str, Tried]) -> str:
    """Return a table with the numbers of each format, and with a seed for each kind of fault."""
    lines = []
    for name, tried in results.items():
        kinds = Counter(fault.splitlines()[0] for _, fault in tried.faults)
        seeds = {fault.splitlines()[0]: seed for seed, fault in reversed(tried.faults)}
        numbers = (
            f"{tried.inputs:6} {tried.refused:6} {len(tried.faults):5} {tried.seconds:7.1f} s {tried.grown:7.1f} MB"
        )
        lines.append(f"{name:20}{numbers}")
        lines += [f"    {number:4} seed {seeds[kind]}: {kind}" for kind, number in kinds.most_common()]
    return "\n".join(lines)


if __name__ == "__main__":
    folder, count, *names = sys.argv[1:]
    results = try_formats(Path(folder).resolve(), int(count), names)
    print(json.dumps({name: asdict(tried) for name, tried in results.items()}))
    print(table(results), file=sys.stderr)
