"""Define broken and hostile config files and overrides: code, bombs, cycles, values of another type."""

import itertools
import math
import os
from pathlib import Path

from seesaw_d2.config.loading import config_keys
from seesaw_d2.train import load_config
from tests.robustness.corpus import CANARY, Case, cases, raw

LETTERS = "abcdefghij"


def of(content: str | bytes, name: str = "c.yaml"):
    return raw(name, content)


def code(template: str):
    """Return a config in which ``{}`` is replaced by a command that would create ``CANARY``."""

    def make(folder: Path) -> str:
        return raw("c.yaml", template.replace("{}", f"touch {folder / CANARY}"))(folder)

    return make


def laughs() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in itertools.pairwise(LETTERS)]
    return "\n".join(lines)


def many_bases(folder: Path) -> str:
    """Write files that each refer to the next file twice, so that there are a billion files to read."""
    for index in range(30):
        (folder / f"{index}.yaml").write_text(f"_BASE_: [{index + 1}.yaml, {index + 1}.yaml]")
    (folder / "30.yaml").write_text("SEED: 1")
    return raw("c.yaml", "_BASE_: 0.yaml")(folder)


def with_base(content: str):
    def make(folder: Path) -> str:
        raw("b.yaml", content)(folder)
        return raw("c.yaml", "_BASE_: b.yaml")(folder)

    return make


def circle(folder: Path) -> str:
    raw("b.yaml", "_BASE_: c.yaml")(folder)
    return raw("c.yaml", "_BASE_: [b.yaml]")(folder)


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "b.yaml")
    return raw("c.yaml", "_BASE_: b.yaml")(folder)


def override(key: str, value: str):
    return lambda folder: [key, value]


def read(given: str | list[str]) -> None:
    cfg = load_config("", given) if isinstance(given, list) else load_config(given)
    solver = [cfg.SOLVER[key] for key in config_keys(cfg.SOLVER) if "." not in key]
    assert all(math.isfinite(value) for value in solver if isinstance(value, float))


CASES: list[Case] = cases(
    "yaml",
    {
        "empty": (of(""), r"c\.yaml: expected a mapping of config keys"),
        "a list": (of("- 1\n"), r"c\.yaml: .*found a list"),
        "text": (of("hello"), r"c\.yaml: .*found a string"),
        "not UTF-8": (of(b"SEED: \xff"), r"c\.yaml: .*UTF-8.* 6"),
        "binary": (of(bytes(range(128)) * 20), r"c\.yaml: .*YAML"),
        "tabs": (of("MODEL:\n\tDEVICE: cpu\n"), r'YAML.*c\.yaml", line 2'),
        "torn": (of("MODEL: {DEVICE: 'cp"), r"c\.yaml: .*YAML"),
        "code by a tag": (code("SEED: !!python/object/apply:os.system ['{}']"), r"c\.yaml: .*YAML.*python"),
        "code by a name": (code("SEED: !!python/name:os.system"), r"c\.yaml: .*YAML.*python"),
        "code by a module": (code("SEED: !!python/module:os"), r"c\.yaml: .*YAML.*python"),
        "code as text": (code("OUTPUT_DIR: __import__('os').system('{}')"), None),
        "code in a base": (
            with_base("SEED: !!python/object/new:os.system [x]"),
            r"c\.yaml: .*YAML.*b\.yaml",
        ),
        "a Python config": (of("import os\n", "c.py"), r"c\.py: expected a YAML file"),
        "a Python base": (of("_BASE_: b.py"), r"b\.py: expected a YAML file"),
        "a billion laughs": (of(laughs()), r"c\.yaml, line \d+: .*100000 values"),
        "an anchor in itself": (of("DATASETS: &a {REGISTER: [*a]}"), r"c\.yaml, line 1: .*alias"),
        "50,000 brackets": (of("SEED: " + "[" * 50_000), r"c\.yaml: .*deeply"),
        "megabytes": (of("# " + "x" * (1 << 20)), r"c\.yaml: .*1048576"),
        "base of itself": (of("_BASE_: c.yaml"), r"c\.yaml: _BASE_: "),
        "bases in a circle": (circle, r"c\.yaml: _BASE_: "),
        "2^30 bases": (many_bases, r"at most 50 files"),
        "no such base": (of("_BASE_: nowhere.yaml"), r"c\.yaml: .*_BASE_.*nowhere\.yaml"),
        "base a number": (of("_BASE_: 5"), r"c\.yaml, line 1: _BASE_: expected the path of a file, found 5"),
        "base an address": (of("_BASE_: http://localhost:1/c.yaml"), r"c\.yaml: .*_BASE_.*localhost"),
        "base a pipe": (pipe, r"b\.yaml: expected a config file, found a pipe"),
        "base a device": (of("_BASE_: /dev/zero"), r"/dev/zero: expected a config file, found a device"),
        "a folder": (raw("c.yaml", Path.mkdir), r"c\.yaml: expected a config file, found a (directory|folder)"),
        "a key twice": (of("SEED: 1\nMODEL: {DEVICE: cpu}\nSEED: 2\n"), r"line 3: SEED: "),
        "a key that is a number": (of("1: 2\n"), r"line 1: .*found 1"),
        "a key that is a list": (of("? [1]\n: 2\n"), r"line 1: .*found a list"),
        "an unknown key": (of("MODEL: {WIEGHTS: x}"), r"unknown config key MODEL\.WIEGHTS. Did you mean .*WEIGHTS"),
        "a value for a node": (of("MODEL: cpu"), r"c\.yaml: MODEL: expected a mapping of keys, found 'cpu'"),
        "a node for a value": (of("SEED: {A: 1}"), r"c\.yaml: .*SEED"),
        "a date": (of("OUTPUT_DIR: 2020-01-01"), r"c\.yaml: Key OUTPUT_DIR .*not a valid type"),
        "a set": (of("DATASETS: {REGISTER: !!set {a}}"), r"c\.yaml: Key DATASETS\.REGISTER .*not a valid type"),
        "bytes": (of("OUTPUT_DIR: !!binary aGVsbG8="), r"c\.yaml: Key OUTPUT_DIR .*not a valid type"),
        "two documents": (of("SEED: 1\n---\nSEED: 2\n"), r"c\.yaml: .*YAML.*single document"),
        "5,000 digits": (of("SEED: " + "9" * 5000), r"c\.yaml: .*Exceeds the limit"),
        "a learning rate of nan": (of("SOLVER: {BASE_LR: .nan}"), r"BASE_LR: expected a finite number, found nan"),
        "an infinite learning rate": (of("SOLVER: {BASE_LR: 1e999}"), r"BASE_LR: expected a finite number, found inf"),
        "another version": (of("VERSION: [1]"), r"c\.yaml: VERSION: expected 2"),
        "merged keys": (of("X: &x {SEED: 1}\n".replace("X: &x", "<<: &x")), None),
    },
) + cases(
    "overrides",
    {
        "5,000 brackets": (override("OUTPUT_DIR", "[" * 5000), None),
        "20,000 signs": (override("SEED", "-" * 20_000 + "1"), r"command line: .*deeply"),
        "code": (override("OUTPUT_DIR", "__import__('os').system('x')"), None),
        "a key without a value": (lambda folder: ["SEED"], r"overrides: .*found 1 words"),
        "no name": (override("", "1"), r"command line: .*key"),
        "dots": (override("MODEL..DEVICE", "1"), r"command line: unknown config key MODEL\.\.DEVICE"),
        "below a value": (override("SEED.X", "1"), r"command line: unknown config key SEED\.X"),
    },
)
