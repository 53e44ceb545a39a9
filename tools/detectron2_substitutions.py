"""What Detectron2 v0.6 (2021) says that current Python, NumPy, Pillow and PyTorch no longer understand.

Each row: files, pattern (a regular expression), replacement, and how many times it must match. Another count
means another source than the one this was written for, and stops the installation.
"""

import re
from pathlib import Path

_GUARD_C = "try:\n    from detectron2 import _C\nexcept ImportError:  # not compiled\n    _C = None"

# (glob below detectron2/, pattern, replacement, number of matches)
SUBSTITUTIONS = [
    # NumPy 1.24 removed its aliases of the builtins.
    ("**/*.py", r"\bnp\.(bool|int|float|str)\b", r"\1", 19),
    # Since PyTorch 2.0 the public base class is the real one; with the old name the scheduler's state is silently
    # left out of checkpoints.
    ("**/*.py", r"\blr_scheduler\._LRScheduler\b", "lr_scheduler.LRScheduler", 9),
    # The compiled module is optional: what needs it says so when it is called.
    ("layers/*.py", r"^from detectron2 import _C$", _GUARD_C, 3),
    (
        "evaluation/coco_evaluation.py",
        r"^from detectron2\.evaluation\.fast_eval_api import COCOeval_opt$",
        "try:\n    from detectron2.evaluation.fast_eval_api import COCOeval_opt\n"
        "except ImportError:  # not compiled\n    COCOeval_opt = COCOeval",
        1,
    ),
    # setuptools 82 removed pkg_resources.
    ("model_zoo/model_zoo.py", r"^import pkg_resources$", "import importlib.resources", 1),
    (
        "model_zoo/model_zoo.py",
        r'pkg_resources\.resource_filename\(\s*"detectron2\.model_zoo", (os\.path\.join\(.+\))\s*\)',
        r'str(importlib.resources.files("detectron2.model_zoo") / \1)',
        1,
    ),
    # Pillow 10 removed the old name; NumPy 2 refuses copy=False where it must copy.
    ("data/transforms/transform.py", r"\bImage\.LINEAR\b", "Image.BILINEAR", 1),
    ("layers/mask_ops.py", r"np\.array\(mask, copy=False\)", "np.asarray(mask)", 1),
    # Python 3.11 no longer samples from a set.
    (
        "data/common.py",
        r"self\._rng\.sample\(self\._fallback_candidates, k=1\)",
        "self._rng.sample(sorted(self._fallback_candidates), k=1)",
        1,
    ),
    (
        "modeling/anchor_generator.py",
        r"torch\.meshgrid\(shifts_y, shifts_x\)",
        'torch.meshgrid(shifts_y, shifts_x, indexing="ij")',
        1,
    ),
    # PyTorch 2 deprecates typed storages.
    (
        "utils/comm.py",
        r"storage = torch\.ByteStorage\.from_buffer\(buffer\)$",
        "storage = torch.frombuffer(bytearray(buffer), dtype=torch.uint8)",
        1,
    ),
    ("utils/comm.py", r"torch\.ByteTensor\(storage\)\.to", "storage.to", 1),
    # The Caffe2 export needs a package that no longer exists.
    (
        "export/__init__.py",
        r"^from \.api import \*$",
        "try:\n    from .api import *\nexcept ImportError:  # Caffe2 is gone\n    pass",
        1,
    ),
]


class SubstitutionError(Exception):
    """The sources are not those of Detectron2 v0.6."""


def apply_substitutions(package: Path) -> None:
    """Mend the folder ``detectron2/`` in place.

    Raises:
        SubstitutionError: a pattern was not found exactly as often as expected.
    """
    for glob, pattern, replacement, expected in SUBSTITUTIONS:
        found = 0
        for path in sorted(package.glob(glob)):
            text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            if count:
                path.write_text(text, encoding="utf-8")
                found += count
        if found != expected:
            raise SubstitutionError(
                f"Detectron2 source {package / glob}: expected {expected} matches of {pattern!r}, found {found}"
            )
