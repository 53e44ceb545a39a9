"""The parts: name, commands, limit in seconds, and the reader of the result."""

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
    """A part of ``make gpu``.

    Args:
        name: unique; also the name of its log and of its result.
        what: its description in the table.
        commands: returns arguments of Python, for the output folder. After "out of memory" the next one is tried. The
            part may write files to the folder of its name in the output folder.
        limit: seconds, for each command.
        read: returns the rows of the table from the output of the command and the output folder.
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
    """Detectron2's trainers and this project's; fewer images if the memory is short."""

    def commands(folder: Path) -> list[Command]:
        common = ["benchmarks/iteration.py", "--device", "cuda", "--size", "800", "--proposals", "512"]
        return [[*common, "--repetitions", "5", *arguments, "--images", str(images)] for images in (16, 8, 4, 2, 1)]

    return Part(name, "R-50-FPN, 1203 categories", commands, limit, readers.iteration)


def mask_heads() -> Part:
    """With fewer regions if the memory is short: Detectron2's masks of 256 regions and 13,204 categories take 11 GB."""
    command = ["benchmarks/mask_head.py", "--device", "cuda", "--categories", "80", "1203", "13204", "--regions"]
    commands = [[*command, regions] for regions in ("256", "64")]
    return Part("mask heads", "256 channels", lambda folder: commands, 90, readers.mask_heads)


def quickstart() -> Part:
    """Whose training continues where the time was up."""

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
