"""Change the source of Detectron2 v0.6 (2021) so that it works with current Python, NumPy, Pillow and PyTorch.

Each substitution has a glob of files, a regular expression, the replacement and the number of matches. If the number of
matches differs, the source is not v0.6, and the installation stops.
"""

import re
from pathlib import Path

_GUARD_C = "try:\n    from detectron2 import _C\nexcept ImportError:  # not compiled\n    _C = None"

# (glob below detectron2/, pattern, replacement, number of matches)
SUBSTITUTIONS = [
    # NumPy 1.24 removed its aliases of the builtins.
    ("**/*.py", r"\bnp\.(bool|int|float|str)\b", r"\1", 19),
    # PyTorch 2.0 renamed the base class of schedulers. Detectron2 tests for the old name before it saves the state of a
    # scheduler, so that checkpoints would lack this state.
    ("**/*.py", r"\blr_scheduler\._LRScheduler\b", "lr_scheduler.LRScheduler", 9),
    # Make the compiled module optional. Functions that need it raise an error when they are called.
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
    # Pillow 10 removed Image.LINEAR. With copy=False, NumPy 2 raises an error if it must copy.
    ("data/transforms/transform.py", r"\bImage\.LINEAR\b", "Image.BILINEAR", 1),
    ("layers/mask_ops.py", r"np\.array\(mask, copy=False\)", "np.asarray(mask)", 1),
    # Python 3.11 removed sampling from a set.
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
    # PyTorch 2 deprecated typed storages.
    (
        "utils/comm.py",
        r"storage = torch\.ByteStorage\.from_buffer\(buffer\)$",
        "storage = torch.frombuffer(bytearray(buffer), dtype=torch.uint8)",
        1,
    ),
    ("utils/comm.py", r"torch\.ByteTensor\(storage\)\.to", "storage.to", 1),
    # The Caffe2 export imports a package that no longer exists. Ignore the ImportError.
    (
        "export/__init__.py",
        r"^from \.api import \*$",
        "try:\n    from .api import *\nexcept ImportError:  # Caffe2 was removed\n    pass",
        1,
    ),
]


class SubstitutionError(Exception):
    """Raised if the sources are not those of Detectron2 v0.6."""


def apply_substitutions(package: Path) -> None:
    """Apply the substitutions to the files in ``package``, the folder ``detectron2/``, in place.

    Raises:
        SubstitutionError: a pattern does not have the expected number of matches.
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
                f"{package / glob}: expected {expected} matches of {pattern!r}, found {found} matches. This is not the "
                "source of Detectron2 v0.6."
            )
