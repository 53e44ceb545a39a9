"""Parse the command line of ``train_net.py``, and launch the job."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from detectron2.config import CfgNode

from seesaw_d2.arguments import NO_CONFIG, argument_parser
from seesaw_d2.config.loading import config_values, load_config
from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.train.launch.launcher import Group, launch
from seesaw_d2.train.launch.process_layout import ProcessLayout, find_layout
from seesaw_d2.train.launch.signals import Stopped
from seesaw_d2.train.launch.supervision import RankFailed
from seesaw_d2.train.preflight.config_checks import check_solver, resolve_device
from seesaw_d2.train.preflight.run_lock import begun_by_this_job
from seesaw_d2.train.preflight.schedule import scale_to_processes
from seesaw_d2.train.run import run
from seesaw_d2.utils.escaping import printable

# What ``launch_job`` runs in each process: a function, the settings with which the processes communicate, and a tuple
# with the arguments of the function.
Program = tuple[Callable[..., None], Group, tuple[Any, ...]]


def main(arguments=None) -> int:
    """Parse the command line, check the job, and train or evaluate in the requested processes.

    With torchrun or srun, every process calls this function. If the launcher restarts the job (torchrun's
    ``--max-restarts``, Slurm's requeue), the job continues its own run, as with ``--resume``.

    Args:
        arguments: list of command-line arguments. If None, those of this program.

    Returns:
        the exit status: 0 for success, 1 if a spawned process failed, 2 for a mistake in the input, 143 after SIGTERM,
            130 after SIGINT (ctrl-C). The function prints errors to standard error.
    """
    return start(argument_parser().parse_args(arguments))


def start(args) -> int:
    """Launch the job that the parsed arguments describe. Return its exit status, 0 for success (see ``main``)."""
    return launch_job(args, prepare)


def prepare(args, world: ProcessLayout) -> Program:
    """Load the config, and return the program to launch: the function ``run`` with this config as argument.

    Args:
        args: parsed arguments of the command line.
        world: number and ranks of the job's processes.

    Returns:
        (function to run in each process, communication settings, arguments of the function).

    Raises:
        ConfigError: the command line has neither a config file nor keys, or a value in the config is invalid.
    """
    if not args.config_file and not args.opts:
        raise ConfigError(NO_CONFIG)
    cfg = load_config(args.config_file, args.opts)
    try:
        resolve_device(cfg, world, training=not args.eval_only)
    except ConfigError as error:
        if args.config_file:
            raise
        text = str(error).removesuffix(".")
        raise ConfigError(f"{text}. Without --config-file, the other keys have Detectron2's default values.") from error
    return run, group_of(args, world, cfg, config_values(cfg)), (cfg, args)


def group_of(args, world: ProcessLayout, cfg: CfgNode, values: Mapping[str, str]) -> Group:
    """Check that SOLVER fits the number of processes, and return the settings with which the processes communicate.

    Args:
        args: parsed arguments of the command line.
        world: number and ranks of the job's processes.
        cfg: a config whose MODEL.DEVICE is a device, not ``auto``.
        values: a dict from config key to value. The processes check later that all machines have equal values.
    """
    scaled = cfg.clone()  # keep ``cfg`` unchanged, because each process scales ``cfg`` later
    scale_to_processes(scaled, world.size)
    check_solver(scaled, world.size)
    given = shared_arguments(args, world) | values
    return Group(cfg.MODEL.DEVICE, cfg.SOLVER.COLLECTIVE_TIMEOUT, cfg.OUTPUT_DIR, given)


def shared_arguments(args, world: ProcessLayout) -> dict[str, str]:
    """Return the command-line options that must be equal on all machines, such as {"--resume": "True"}."""
    given = {f"--{name.replace('_', '-')}": str(getattr(args, name)) for name in ("eval_only", "resume", "overwrite")}
    given["--num-machines"] = str(world.size // world.local_size)
    given["--num-gpus or --num-processes"] = str(world.local_size)
    return given


def resume_own_run(args, world: ProcessLayout, folder: str) -> None:
    """Make a restarted training resume its own run: set ``args.resume`` to True and ``args.overwrite`` to False.

    The function changes ``args`` only if a launcher such as torchrun has restarted this job, and this job itself has
    started the run in ``folder``. If another job has started the run, the user must pass --resume or --overwrite.

    Args:
        args: parsed arguments of the command line, changed in place.
        world: layout of the job's processes, with the number of restarts.
        folder: OUTPUT_DIR.
    """
    if world.restarts and not args.eval_only and begun_by_this_job(folder):
        args.resume, args.overwrite = True, False


def launch_job(args, prepare: Callable[[Any, ProcessLayout], Program]) -> int:
    """Launch a program in the processes of a job, and print the error or signal that ends the job.

    Args:
        args: parsed arguments of ``argument_parser``.
        prepare: function that maps ``args`` and the process layout to the program: (function to run in each process,
            communication settings, arguments of the function).

    Returns:
        the exit status: 0 for success, another value after an error or a signal (see ``main``).
    """
    world = ProcessLayout()
    try:
        world = find_layout(args, os.environ)
        function, group, arguments = prepare(args, world)
        resume_own_run(args, world, group.folder)
        launch(function, world, group, arguments)
    except SeesawError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RankFailed as failure:
        print(printable(str(failure)), file=sys.stderr)
        return 1
    except Stopped as stop:
        if world.rank == 0:
            evaluated = f"the evaluation was interrupted by {signal.Signals(stop.signum).name}"
            print(evaluated if args.eval_only else stop, file=sys.stderr)
        return stop.code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0
