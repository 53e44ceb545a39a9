"""Test that the losses and all integrations work in a process that cannot import Detectron2 and fvcore."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
for name in ("detectron2", "fvcore", "iopath"):
    sys.modules[name] = None  # importing it raises ImportError
import pkgutil
import torch
from importlib import import_module
import seesaw_d2, seesaw_d2.integrations
from seesaw_d2 import losses

names = [each.name for each in pkgutil.iter_modules(seesaw_d2.integrations.__path__)]
found = {name: import_module("seesaw_d2.integrations." + name) for name in names}
logits, labels = torch.zeros(4, 7, requires_grad=True), torch.tensor([0, 1, 4, 5])
sum(losses.SeesawLoss(5)(logits, labels).values()).backward()
found["classification"].Criterion(losses.SeesawLoss(5, background="none"))(logits[:, :5], labels % 5).backward()
queries = found["set_criterion"].query_labels([labels[:1]], [(labels[1:2], labels[:1])], 3, 5)
found["set_criterion"].query_loss(losses.FocalLoss(5), torch.zeros(1, 3, 5, requires_grad=True), queries).backward()
print(sorted(names), "detectron2" in str([each.__name__ for each in sys.modules.values() if each is not None]))
"""


def test_losses_and_integrations():
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = sorted(path.stem for path in (root / "seesaw_d2/integrations").glob("*.py") if path.stem != "__init__")
    assert done.stdout.strip() == f"{names} False"
