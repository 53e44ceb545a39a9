"""Provide argument parsers and error handling for the programs in this folder."""

import argparse
import ast
import contextlib
import functools
import os
import runpy
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

# Let idle OpenMP threads sleep. By default, they wait in busy loops, which slow down small models. PyTorch reads this
# variable when it starts its threads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(_ROOT))  # find the package without installing it


def parser_of(description: str) -> argparse.ArgumentParser:
    """Return a parser whose help shows ``description``, usually a module's docstring, with the same line breaks."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def conversion_parser(description: str, checkpoint: str) -> argparse.ArgumentParser:
    """Return a parser for a program that converts a checkpoint, with the arguments checkpoint, output and --overwrite.

    Args:
        description: description of the program, for --help.
        checkpoint: help text of the argument checkpoint.
    """
    parser = parser_of(description)
    parser.add_argument("checkpoint", help=checkpoint)
    parser.add_argument("output", help="the .pth file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    return parser


def not_blank(text: str) -> str:
    """Return ``text``. Raise an error if it is blank, as ``--commit "$(git rev-parse HEAD)"`` outside of a clone is."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected text, found {text!r}")
    return text


def refuse_options(args: argparse.Namespace, names: Iterable[str], needed: str) -> None:
    """Raise ConfigError if the command line contains an option that would have no effect.

    Args:
        args: parsed arguments. An option that is not in the command line is None.
        names: names of the options without effect, such as "val_share".
        needed: condition under which these options have an effect, such as "without --val".
    """
    from seesaw_d2.errors import ConfigError

    for name in names:
        if getattr(args, name) is not None:
            raise ConfigError(
                f"--{name.replace('_', '-')}: expected this option only {needed}, found {getattr(args, name)}"
            )


def literals(module: str) -> dict[str, Any]:
    """Return the constants and class attributes of a module without importing the module, which may import PyTorch.

    Args:
        module: path of the file below ``seesaw_d2/``.

    Returns:
        a dict from "NAME" or "Class.attribute" to the value. Values that are not literals are omitted.
    """
    tree = ast.parse((_ROOT / "seesaw_d2" / module).read_text())
    classes = [(f"{node.name}.", node.body) for node in tree.body if isinstance(node, ast.ClassDef)]
    found = {}
    for prefix, body in [("", tree.body), *classes]:
        for node in body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                with contextlib.suppress(ValueError):  # not a literal
                    found[prefix + ast.unparse(target)] = ast.literal_eval(node.value)
    return found


def command(main: Callable[..., int | None]) -> Callable[..., int]:
    """Decorate the function ``main`` of a program to print errors in one line and to return an exit status.

    The exit status is:

    - 2 after a SeesawError or OSError, or if a required package is missing.
    - 130 after ctrl-C.
    - 141 if the output is a closed pipe, as with ``| head``.
    - the result of ``main`` in all other cases, or 0 if the result is None.
    """

    # Load the file by path, because an import of the package fails if a required package is missing.
    exit_if_missing = runpy.run_path(str(_ROOT / "seesaw_d2/missing_packages.py"))["exit_if_missing"]

    @functools.wraps(main)
    def run(arguments=None) -> int:
        try:
            with exit_if_missing(), contextlib.redirect_stdout(_Printable(sys.stdout)):
                return main(arguments) or 0
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        except BrokenPipeError:
            # At exit, Python flushes the rest of the buffer. Discard it, because writing to the pipe would fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141  # 128 + SIGPIPE
        except (ValueError, OSError) as error:
            from seesaw_d2.errors import SeesawError, one_line  # imported late, to keep --help fast

            if not isinstance(error, (SeesawError, OSError)):
                raise
            print(one_line(f"error: {error}"), file=sys.stderr)
            return 2

    return run


class _Printable:
    """Wrap a text stream, and escape control characters, which may occur in names of categories and files."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> int:
        if not text.replace("\n", "").replace("\t", "").isprintable():
            from seesaw_d2.utils.escaping import printable

            text = printable(text)
        return self._stream.write(text)

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


def train_net() -> str:
    """Return the path of ``train_net.py`` for a printed command. In the current folder, the path is only the name."""
    path = _ROOT / "train_net.py"
    return path.name if Path(path.name).is_file() else str(path)
