"""Define the parts of tools/gpu.py: name, commands, time limit and reader of the result."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpu_parts import readers

Command = list[str]
TESTS = {
    "numbers": "losses, layers and heads in float32, bfloat16 and float16 against float64 on the CPU",
    "steps": "training steps in mixed precision, and waits of the host",
    "processes": "NCCL",
    "resume": "exact resume with deterministic kernels",
    "deployment": "torch.compile, TorchScript and ONNX",
}
EVERYTHING = "bfloat16, channels last, fused, metrics late"


@dataclass(frozen=True)
class Part:
    """Part of ``make gpu``: commands to run, and a reader of their output.

    Args:
        name: unique name of the part. The files with the log and the result have the same name.
        what: description in the table.
        commands: callable that takes the output folder and returns commands, each a list of arguments for Python. The
            first command runs. Each further command runs only if the GPU ran out of memory in the previous command. A
            command may write files to a subfolder with the name of the part.
        limit: time limit of each command in seconds.
        read: callable that takes the output of the command and the output folder, and returns the rows of the table.
    """

    name: str
    what: str
    commands: Callable[[Path], list[Command]]
    limit: float
    read: Callable[[str, Path], list[tuple[str, str]]]


def tests(name: str) -> Part:
    command = ["-m", "pytest", "-m", "cuda", "-q", "-p", "no:cacheprovider", f"tests/cuda/test_{name}.py"]
    return Part(f"tests, {name}", TESTS[name], lambda folder: [command], 150, readers.tests)


def benchmark(name: str, what: str, program: str, *arguments: str, limit: float, read) -> Part:
    command = [f"benchmarks/{program}.py", "--device", "cuda", *arguments]
    return Part(name, what, lambda folder: [command], limit, read)


def iteration(name: str, limit: float, *arguments: str) -> Part:
    """Return a part that compares the trainers of Detectron2 with the trainer of this project.

    If the GPU runs out of memory, the part runs again with fewer images.

    Args:
        name: name of the part.
        limit: time limit in seconds.
        arguments: additional arguments of benchmarks/iteration.py.
    """

    def commands(folder: Path) -> list[Command]:
        common = ["benchmarks/iteration.py", "--device", "cuda", "--size", "800", "--proposals", "512"]
        return [[*common, "--repetitions", "5", *arguments, "--images", str(images)] for images in (16, 8, 4, 2, 1)]

    return Part(name, "R-50-FPN, 1203 categories", commands, limit, readers.iteration)


def mask_heads() -> Part:
    """Return the part that measures mask heads.

    With 256 regions, Detectron2's head needs 11 GB. If the GPU runs out of memory, the part runs again with 64 regions.
    """
    command = ["benchmarks/mask_head.py", "--device", "cuda", "--categories", "80", "1203", "13204", "--regions"]
    commands = [[*command, regions] for regions in ("256", "64")]
    return Part("mask heads", "256 channels", lambda folder: commands, 90, readers.mask_heads)


def quickstart() -> Part:
    """Return the part that trains the quickstart config, or continues an interrupted training."""

    def commands(folder: Path) -> list[Command]:
        return [["tools/gpu_parts/quickstart.py", "--output", str(folder / "quickstart")]]

    return Part("quickstart", "training and evaluation, 800 iterations", commands, 540, readers.quickstart)


PARTS = [
    *(tests(name) for name in TESTS),
    iteration("training", 120, "--options", "--only", "float16", "bfloat16", EVERYTHING),
    quickstart(),
    iteration(
        "training, single options",
        120,
        *("--options", "--only", "fused", "fused, metrics late", "channels last", "TF32"),
    ),
    iteration("training, compiled", 150, "--options", "--only", "compiled backbone", f"{EVERYTHING}, compiled"),
    iteration("inference", 90),
    benchmark("losses", "1024 proposals", "losses", "--repetitions", "15", limit=90, read=readers.losses),
    mask_heads(),
]
