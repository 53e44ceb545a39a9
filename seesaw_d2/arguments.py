"""Command-line arguments of the programs.

They are parsed before PyTorch is imported, so that ``--help`` and usage errors are fast.
"""

import argparse
import os
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
    "for example: python demo.py --config-file configs/quickstart/mask_rcnn_glyphs_seesaw.yaml --input image.png "
    "--output output/drawn --opts MODEL.WEIGHTS output/quickstart/model_final.pth"
)


def argument_parser(lazy: bool = False) -> argparse.ArgumentParser:
    """Return the parser of ``train_net.py``: Detectron2's arguments, ``--num-processes`` and ``--overwrite``.

    Args:
        lazy: True: the help text names the keys of LazyConfigs. False: it names those of YAML configs.
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
    add("--eval-only", action="store_true", help="evaluate the weights without training")
    # None differs from 1: torchrun and srun may have started several processes.
    add("--num-gpus", type=int, default=None, help="number of GPUs of this machine")
    processes = f"number of processes on the CPU of this machine (with {words['device']}); for GPUs use --num-gpus"
    add("--num-processes", type=int, default=None, help=processes)
    add("--num-machines", type=int, default=1, help="number of machines")
    add("--machine-rank", type=int, default=0, help="rank of this machine, from 0")
    add(
        "--dist-url",
        default="",
        metavar="URL",
        help="address at which the processes of all machines connect: tcp://HOST:PORT",
    )
    overwrite = f"replace the run in {words['folder']}; without it, a folder that holds a run is refused"
    add("--overwrite", action="store_true", help=overwrite)
    add("opts", nargs=argparse.REMAINDER, default=None, help=words["opts"])
    return parser


def parse_arguments(parser: argparse.ArgumentParser, lazy: bool = False) -> argparse.Namespace:
    """Parse the command line of a program. Print a mistake in it and exit with status 2.

    Mistakes include a config file that does not exist, and overrides without a value.

    Args:
        lazy: True: the config is a LazyConfig, with overrides KEY=VALUE. False: a YAML file, with KEY VALUE.
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


NO_CONFIG = "--config-file: expected a config file or config overrides, found neither"


def check_pairs(config_file: str, overrides: Sequence[Any]) -> None:
    """Raise ConfigError if overrides KEY VALUE ... have an odd number of words."""
    if len(overrides) % 2:
        flags = [word for word in overrides if str(word).startswith("--")]
        hint = f" (options such as {flags[0]} go before the first KEY)" if flags else ""
        if not config_file and str(overrides[0]).endswith((".yaml", ".yml")):
            hint = f" (a config file follows --config-file, as in --config-file {overrides[0]})"
        raise ConfigError(f"overrides: expected pairs of KEY VALUE, found {len(overrides)} words: {overrides}{hint}")


def demo_parser() -> argparse.ArgumentParser:
    """Return the parser of ``demo.py``: the arguments of Detectron2's demo, ``--batch-size`` and ``--dtype``."""
    parser = _DemoParser(
        description="Draw the detections of a trained model on images or on a video.", epilog=DEMO_EXAMPLE
    )
    add = parser.add_argument
    add("--config-file", required=True, help="config of the model")
    add("--input", nargs="+", required=True, help="images, folders, quoted glob patterns, or a video")
    add("--output", required=True, help="folder, or output file of a single image or video")
    add("--confidence-threshold", type=float, default=0.5, help="minimum score of drawn detections, from 0 to 1")
    add(
        "--batch-size",
        type=int,
        default=1,
        help="maximum number of images in a forward pass; only images of the same size are batched",
    )
    add("--dtype", default="float32", help="data type of the layers: float32, bfloat16 or float16")
    add("--overwrite", action="store_true", help="replace output files that exist")
    overrides = "config overrides KEY VALUE ..., such as MODEL.WEIGHTS path"
    add("--opts", nargs=argparse.REMAINDER, default=[], help=overrides)
    return parser


class _DemoParser(argparse.ArgumentParser):
    """Argument parser that reports a wrong argument in one line, with an example."""

    def parse_args(self, args=None, namespace=None):
        parsed, rest = self.parse_known_args(args, namespace)
        if rest:
            self.error(f"{' '.join(rest)}: unknown arguments; give config keys last, after --opts")
        return parsed

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; {DEMO_EXAMPLE}\n")
