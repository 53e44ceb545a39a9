"""What the commands of this folder have in common."""

import argparse
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

# Before PyTorch starts its threads: waiting ones that spin cost more than they give on small models.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def parser_of(description: str) -> argparse.ArgumentParser:
    """A parser whose help is a module's docstring as it stands."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def command(main: Callable[..., int | None]) -> Callable[..., int]:
    """Makes ``main`` return the exit status: its own, by default 0; 2 after a mistake in what was given, and 130 after
    ctrl-C, which are printed in a line. Who reads the output may stop doing so (``| head``)."""

    @functools.wraps(main)
    def run(arguments=None) -> int:
        try:
            return main(arguments) or 0
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left to be written at the exit
            return 141  # as of a program that SIGPIPE ends
        except ValueError as error:
            from seesaw_d2.errors import SeesawError  # not above: --help is not to wait for PyTorch

            if not isinstance(error, SeesawError):
                raise
            print(f"error: {error}", file=sys.stderr)
            return 2

    return run


def train_net() -> str:
    """The path of ``train_net.py`` for a command that is printed: its name, or in full where the name will not do."""
    path = Path(__file__).resolve().parents[1] / "train_net.py"
    return path.name if Path(path.name).is_file() else str(path)
