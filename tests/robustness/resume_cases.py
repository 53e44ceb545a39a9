"""Define output folders for ``--resume``, which must not read files outside the folder."""

import os
from collections.abc import Callable
from pathlib import Path

import torch

from seesaw_d2.train.checkpoints.resume_files import resume_file
from tests.robustness.corpus import Case, cases, raw, touching

LAST, BEFORE = "model_0000003.pth", "model_0000001.pth"
RIGHT = LAST.encode()


def folder(pointer: bytes | Callable[[Path], None] = RIGHT, last=None, before=None) -> Callable[[Path], str]:
    """Return a run with two checkpoints. ``pointer``, ``last`` and ``before`` write files in place of valid files."""

    def make(root: Path) -> str:
        run = root / "run"
        run.mkdir()
        for name, iteration, change in ((LAST, 3, last), (BEFORE, 1, before)):
            if change is None:
                torch.save({"model": {"x": torch.ones(2)}, "iteration": iteration}, run / name)
            else:
                change(run / name)
        raw("last_checkpoint", pointer)(run)
        torch.save({"model": {"x": torch.zeros(2)}, "iteration": 9}, root / "outside.pth")
        return str(run)

    return make


def code(path: Path) -> None:
    torch.save({"model": {"x": touching(path.parents[1])}, "iteration": 3}, path)


def text(path: Path) -> None:
    path.write_text("no checkpoint")


def read(run: str) -> None:
    found = resume_file(run)
    assert os.path.dirname(found.path) == run
    assert os.path.basename(found.path) in (LAST, BEFORE)


CASES: list[Case] = cases(
    "resume",
    {
        "a pointer outside": (folder(b"../outside.pth"), None),
        "an absolute pointer": (folder(b"/etc/passwd.pth"), None),
        "a pointer of zeros": (folder(bytes(1000)), None),
        "a pointer of megabytes": (folder(b"x" * 10_000_000), None),
        "a pipe for a pointer": (folder(os.mkfifo), None),
        "a folder for a pointer": (folder(lambda path: path.mkdir()), None),
        "code in the last checkpoint": (folder(last=code), None),
        "code in both": (folder(last=code, before=code), r"model_0000003\.pth.*system"),
        "a pipe for the last checkpoint": (folder(last=os.mkfifo), None),
        "neither a checkpoint": (folder(last=text, before=text), r"model_0000001\.pth"),
    },
)
