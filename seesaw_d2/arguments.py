"""Parse the command-line arguments of ``train_net.py``, ``lazyconfig_train_net.py`` and ``demo.py``.

This module does not import PyTorch, so that programs print ``--help`` and usage errors quickly.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from seesaw_d2.config_files import find_config_file, find_lazy_config
from seesaw_d2.errors import ConfigError

_EXAMPLES = """
Examples:

    {program} --config-file {config}
    {program} --config-file {config} --num-gpus 8
    {program} --config-file {config} {override}
    {program} --config-file {config} --eval-only {weights}
"""
_TRAIN = {
    "config": "configs/quickstart/mask_rcnn_glyphs_seesaw.yaml",
    "override": "SOLVER.BASE_LR 0.01 OUTPUT_DIR output/trial",
    "weights": "MODEL.WEIGHTS output/model_final.pth",
    "device": "MODEL.DEVICE cpu",
    "folder": "OUTPUT_DIR",
    "opts": "config overrides: KEY VALUE ...",
}
_LAZY = {
    "config": "configs/lazy/mask_rcnn_R_50_FPN_rfs_seesaw_2x.py",
    "override": "train.max_iter=100 dataloader.train.total_batch_size=8",
    "weights": "train.init_checkpoint=output/model_final.pth",
    "device": "train.device=cpu",
    "folder": "train.output_dir",
    "opts": "config overrides: key=value ...",
}
DEMO_EXAMPLE = (
    "Example: python demo.py --config-file configs/quickstart/mask_rcnn_glyphs_seesaw.yaml --input image.png "
    "--output output/drawn --opts MODEL.WEIGHTS output/quickstart/model_final.pth"
)


def argument_parser(lazy: bool = False) -> argparse.ArgumentParser:
    """Return the argument parser of ``train_net.py`` and ``lazyconfig_train_net.py``.

    The parser has the arguments of Detectron2's ``default_argument_parser``, ``--num-processes`` and ``--overwrite``.

    Args:
        lazy: If True, the help text names the keys of LazyConfigs. If False, it names the keys of YAML configs.
    """
    words = _LAZY if lazy else _TRAIN
    program = sys.argv[0] if sys.argv[0].startswith("python ") else f"python {os.path.basename(sys.argv[0])}"
    parser = argparse.ArgumentParser(
        prog=program,
        description="Train or evaluate the model of a config.",
        epilog=_EXAMPLES.format(program=program, **words),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--config-file", default="", metavar="FILE", help="path of a config, or its name in seesaw_d2.model_zoo")
    add("--resume", action="store_true", help=f"resume the run in {words['folder']} from its last checkpoint")
    add("--eval-only", action="store_true", help=f"evaluate without training, with weights such as {words['weights']}")
    # Unlike Detectron2's default 1, None shows that the user gave no number. If torchrun or srun has started the
    # processes, their number then comes from torchrun or srun.
    add("--num-gpus", type=int, default=None, help="number of GPUs to use on this machine")
    processes = f"number of CPU processes on this machine, with {words['device']}. For GPUs use --num-gpus"
    add("--num-processes", type=int, default=None, help=processes)
    add("--num-machines", type=int, default=1, help="number of machines (default: 1)")
    add("--machine-rank", type=int, default=0, help="rank of this machine, from 0 to NUM_MACHINES - 1")
    add(
        "--dist-url",
        default="",
        metavar="URL",
        help="address to which the processes of all machines connect: tcp://HOST:PORT",
    )
    overwrite = f"replace the run in {words['folder']}. Without this option, a folder with a run is an error"
    add("--overwrite", action="store_true", help=overwrite)
    add("opts", nargs=argparse.REMAINDER, default=None, help=words["opts"])
    return parser


def parse_arguments(parser: argparse.ArgumentParser, lazy: bool = False) -> argparse.Namespace:
    """Parse ``sys.argv`` and return the arguments. If an argument is invalid, print an error and exit with status 2.

    A config file that does not exist and an override without a value are also errors.

    Args:
        parser: parser that ``argument_parser`` returned.
        lazy: If True, the config is a LazyConfig with overrides KEY=VALUE. If False, the config is a YAML file with
            overrides KEY VALUE.
    """
    args = parser.parse_args()
    find: Callable[[str], str] = find_lazy_config if lazy else find_config_file
    try:
        if not args.config_file and not args.opts:
            raise ConfigError(NO_CONFIG)
        if args.config_file:
            find(args.config_file)
        if not lazy:
            check_pairs(args.config_file, args.opts)
    except ConfigError as error:
        parser.exit(2, f"error: {error}\n")
    return args


NO_CONFIG = "--config-file: expected a config file or config overrides, found no arguments"


_JOINED = re.compile(r"[A-Z]\w*(\.\w+)*=.*", re.ASCII | re.DOTALL)  # such as SOLVER.BASE_LR=0.1


def check_pairs(config_file: str, overrides: Sequence[Any]) -> None:
    """Raise ConfigError if ``overrides`` has an odd number of words or a word KEY=VALUE instead of two words KEY VALUE.

    Args:
        config_file: value of ``--config-file``, "" if the user did not set it. Only the hint in the message uses it.
        overrides: the config overrides, a list KEY, VALUE, KEY, VALUE, ....
    """
    if joined := [word for word in map(str, overrides[::2]) if _JOINED.fullmatch(word)]:
        raise ConfigError(
            f"overrides: expected KEY VALUE with a space, as in {joined[0].replace('=', ' ', 1)}, found {joined[0]}"
        )
    if len(overrides) % 2:
        flags = [word for word in overrides if str(word).startswith("--")]
        hint = f". Options such as {flags[0]} must precede the first KEY." if flags else ""
        if not config_file and str(overrides[0]).endswith((".yaml", ".yml")):
            hint = f". To set the config file, use --config-file {overrides[0]}."
        raise ConfigError(
            f"overrides: expected an even number of words KEY VALUE, found {len(overrides)} words: {overrides}{hint}"
        )


def demo_parser() -> argparse.ArgumentParser:
    """Return the argument parser of ``demo.py``.

    The parser has arguments of Detectron2's demo and the arguments ``--batch-size``, ``--dtype`` and ``--overwrite``.
    """
    parser = _DemoParser(
        description="Draw the detections of a trained model on images or on a video. Images and videos whose longer "
        "side has fewer than 512 pixels are enlarged to 512 pixels, so that labels are readable.",
        epilog=DEMO_EXAMPLE,
    )
    add = parser.add_argument
    add("--config-file", required=True, help="path of the model's config, or its name in seesaw_d2.model_zoo")
    add("--input", nargs="+", required=True, help="images, folders, quoted glob patterns, or a video")
    add("--output", required=True, help="output folder, or output file for a single image or video")
    add(
        "--confidence-threshold",
        type=float,
        default=0.5,
        help="minimum score of drawn detections, from 0 to 1 (default: 0.5)",
    )
    add(
        "--batch-size",
        type=int,
        default=1,
        help="maximum number of images in a forward pass. Only images of the same size are in one batch (default: 1)",
    )
    add("--dtype", default="float32", help="floating-point type of the layers: float32 (default), bfloat16 or float16")
    add("--overwrite", action="store_true", help="replace existing output files")
    overrides = "config overrides KEY VALUE ..., such as MODEL.WEIGHTS path"
    add("--opts", nargs=argparse.REMAINDER, default=[], help=overrides)
    return parser


class _DemoParser(argparse.ArgumentParser):
    """Argument parser of ``demo.py``. It prints an error and an example of a correct command line in one line."""

    def parse_args(self, args=None, namespace=None):
        parsed, rest = self.parse_known_args(args, namespace)
        if rest:
            self.error(f"{' '.join(rest)}: unknown arguments. Config overrides must follow --opts at the end")
        return parsed

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}. {DEMO_EXAMPLE}\n")
