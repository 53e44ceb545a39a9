"""Examine the machine before a training: versions of libraries, GPUs, communication backends and shared memory."""

import os
import platform
import shutil

import detectron2
import numpy
import PIL
import torch
import torchvision

from seesaw_d2.train.preflight.doctor.findings import Findings
from seesaw_d2.version import __version__

GIB = 2**30
_SHARED_MEMORY = "/dev/shm"


def examine_environment(findings: Findings, num_processes: int) -> None:
    """Report the parts of the environment that do not depend on the config: versions, GPUs and shared memory.

    Args:
        findings: object that prints and collects the problems.
        num_processes: number of processes of the training.
    """
    versions = {
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "torchvision": torchvision.__version__,
    }
    versions |= {"NumPy": numpy.__version__, "Pillow": PIL.__version__, "seesaw_d2": __version__}
    findings.ok(", ".join(f"{name} {version}" for name, version in versions.items()))
    folder = os.path.dirname(detectron2.__file__)
    findings.ok(f"Detectron2 {detectron2.__version__} in {folder}")
    if tuple(map(int, torch.__version__.split("+")[0].split(".")[:2])) < (2, 6):
        findings.fix(
            f"PyTorch: expected version 2.6 or newer, found {torch.__version__}. Older versions can run code that a "
            "weights file contains"
        )
    _examine_gpus(findings, num_processes)
    if os.path.isdir(_SHARED_MEMORY):
        free = shutil.disk_usage(_SHARED_MEMORY).free
        text = f"shared memory for loader workers: {free / GIB:.1f} GiB free in {_SHARED_MEMORY}"
        if free < GIB:
            findings.note(f"{text}. Workers may fail with a bus error. In Docker, use --shm-size or --ipc=host")
        else:
            findings.ok(text)


def _examine_gpus(findings: Findings, num_processes: int) -> None:
    if not torch.cuda.is_available():
        findings.note("PyTorch finds no usable GPU")
        if num_processes > 1 and not torch.distributed.is_gloo_available():
            findings.fix(
                "PyTorch was built without gloo, which several processes on the CPU need. Install another build of "
                "PyTorch"
            )
        return
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        findings.ok(f"GPU {index}: {device.name}, {device.total_memory / GIB:.0f} GiB, CUDA {torch.version.cuda}")
        with findings.attempt():  # the product fails if PyTorch was not compiled for this GPU
            (torch.ones(8, 8, device=f"cuda:{index}") @ torch.ones(8, 8, device=f"cuda:{index}")).sum().item()
    if torch.distributed.is_nccl_available():
        findings.ok(f"NCCL {'.'.join(map(str, torch.cuda.nccl.version()))}")
    elif num_processes > 1:
        findings.fix("PyTorch was built without NCCL, which several GPUs need. Install another build of PyTorch")
