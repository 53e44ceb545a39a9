"""The command line of ``train_net.py``."""

import os
import sys
from collections.abc import Callable
from typing import Any

from detectron2.engine import default_argument_parser

from seesaw_d2.config.loading import config_values, load_config
from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.train.job import run
from seesaw_d2.train.launch.launcher import Group, launch
from seesaw_d2.train.launch.process_layout import World, find_world
from seesaw_d2.train.launch.signals import Stopped
from seesaw_d2.train.launch.supervision import RankFailed
from seesaw_d2.train.preflight.job_checks import check_solver, resolve_device
from seesaw_d2.train.preflight.run_lock import begun_by_this_job
from seesaw_d2.train.preflight.schedule import scale_to_processes

# What runs in each process, how the processes talk, the function's arguments.
Job = tuple[Callable[..., None], Group, tuple[Any, ...]]


def argument_parser(epilog: str | None = None, names: Callable[[str], str] = str):
    """Detectron2's own arguments, ``--num-processes`` and ``--overwrite``.

    Args:
        epilog: examples, below the help in place of Detectron2's.
        names: a help text with a YAML config's keys -> with those of the configs that are taken.
    """
    parser = default_argument_parser(epilog)
    # Not given is not the same as 1: torchrun and srun may have started several processes.
    parser.set_defaults(num_gpus=None, dist_url="")
    parser.add_argument(
        "--num-processes",
        type=int,
        default=None,
        help=names("processes on this machine, on its CPU (MODEL.DEVICE cpu); for GPUs there is --num-gpus"),
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help=names("replace the run that OUTPUT_DIR holds, which is otherwise refused"),
    )
    return parser


def main(arguments=None) -> int:
    """Parse the command line, check everything, then train or evaluate, in as many processes as it says.

    With torchrun or srun every process calls this. One that was started anew (torchrun's ``--max-restarts``, Slurm's
    requeue) resumes the run that its job began.

    Returns:
        the exit status: 0; 1 if a spawned process failed; 2 for a mistake in what was given; 143 and 130 after SIGTERM
        and SIGINT (ctrl-C). What was wrong is printed.
    """
    return launch_job(argument_parser().parse_args(arguments), prepare)


def prepare(args, world: World) -> Job:
    """What ``train_net.py`` runs in each process: ``run`` with the config."""
    if not args.config_file and not args.opts:
        raise ConfigError("--config-file: expected a config file, found neither it nor KEY VALUE overrides")
    cfg = load_config(args.config_file, args.opts)
    try:
        resolve_device(cfg, world)
    except ConfigError as error:
        if args.config_file:
            raise
        raise ConfigError(f"{error} (there is no --config-file: all else is Detectron2's default)") from error
    scaled = cfg.clone()  # each process scales by itself, and logs it
    scale_to_processes(scaled, world.size)
    check_solver(scaled, world.size)
    given = shared_arguments(args, world) | config_values(cfg)
    continue_own_run(args, world, cfg.OUTPUT_DIR)
    group = Group(cfg.MODEL.DEVICE, cfg.SOLVER.COLLECTIVE_TIMEOUT, cfg.OUTPUT_DIR, given)
    return run, group, (cfg, args)


def shared_arguments(args, world: World) -> dict[str, str]:
    """Return what the command line says that has to be the same on each machine."""
    given = {f"--{name.replace('_', '-')}": str(getattr(args, name)) for name in ("eval_only", "resume", "overwrite")}
    given["--num-machines"] = str(world.size // world.local_size)
    given["--num-gpus or --num-processes"] = str(world.local_size)
    return given


def continue_own_run(args, world: World, folder: str) -> None:
    """In a job that was started anew, let ``args`` say to resume the run in a folder if this job began it.

    Another job's run is refused as at the first start: else a job that is refused would be started anew and go on with
    it. What process 0 finds holds for all (``job.checked``).
    """
    if world.restarts and not args.eval_only and begun_by_this_job(folder):
        args.resume, args.overwrite = True, False


def launch_job(args, prepare: Callable[[Any, World], Job]) -> int:
    """Find out what starts the processes, launch the job that ``prepare`` makes, and report how it ended, see ``main``.

    Args:
        args: of ``argument_parser``.
        prepare: the function that each process runs, how they talk, and the function's arguments.
    """
    world = World()
    try:
        world = find_world(args, os.environ)
        function, group, arguments = prepare(args, world)
        launch(function, world, group, arguments)
    except SeesawError as error:
        print(f"error: {_brief(error)}", file=sys.stderr)
        return 2
    except RankFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    except Stopped as stop:
        if world.rank == 0:
            print(stop, file=sys.stderr)
        return stop.code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _brief(error: Exception) -> str:
    """The message without the loader process's traceback that PyTorch puts around it."""
    message = str(error)
    if "Original Traceback" in message:
        message = message.strip().splitlines()[-1].split(": ", 1)[-1]
    return message
