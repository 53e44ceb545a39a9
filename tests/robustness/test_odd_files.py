"""Test each command-line argument that takes a file with folders, pipes, devices, and files of another kind.

A command must end within seconds, with an error in one line, and must not change files.
"""

import importlib
import json
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from seesaw_d2.utils.messages import _already_logged
from tests.data.muscima.written import write_source
from tests.data.toy import toy_data, write, write_images
from tests.robustness.corpus import CANARY, time_limit, touching

SECONDS = 5
CONTENTS = {
    "empty": b"",
    "binary": bytes(number * 7919 >> 3 & 255 for number in range(3000)),
    "zeros": bytes(1000),
    "200 brackets": b"[" * 200 + b"]" * 200,
    "200 mappings": b'{"a":' * 200 + b"1" + b"}" * 200,
    "100,000 brackets": b"[" * 100_000,
    "no numbers": b'{"images": [NaN], "categories": Infinity, "annotations": -Infinity}',
    "a long number": b'{"images": ' + b"9" * 5000 + b"}",
    "a large number": b"[" + b"9" * 400 + b"]",
    "repeated keys": b"SEED: 1\nSEED: 2\nmain: 3\nmain: 4\n",
    "half a character": b'{"images": [{"id": 1, "file_name": "\\ud800"}], "categories": [{"id": 1, "name": "a"}]}',
    "an infinite seed": b"SEED: .inf\nSOLVER: {BASE_LR: .nan}",
    "a wrong tag": b"SEED: !!timestamp x",
    "nulls": b"MODEL: null\nTEST: null\nDATASETS: null\n",
    "a list": b"- 1\n- 2\n",
    "a torn archive": b"PK\x03\x04" + bytes(60),
    "a torn picture": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "code": b"raise SystemExit(3)",
    "a\nline\x1b[31m": b"{}",
}


def odd_paths(folder: Path) -> dict[str, str]:
    """Create unusual files in a folder. Return a dict from name to path."""
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    torch.save({"model": touching(folder)}, folder / "code.pth")
    (folder / "empty folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")).write_bytes(b"x")
    found = {path.name: str(path) for path in folder.iterdir()}
    others = {
        "below a file": str(folder / "empty/x"),
        "a device": "/dev/zero",
        "a long name": str(folder / ("x" * 300)),
    }
    return {**found, **others, "nowhere": str(folder / "nowhere"), "an address": "http://127.0.0.1:1/x"}


# Command and argument -> module with ``main``, and its arguments, with the path ``x`` and valid files ``ok``.
COMMANDS = {
    "train config": ("seesaw_d2.train.command_line", lambda x, ok: ["--config-file", x]),
    "train weights": ("seesaw_d2.train.command_line", lambda x, ok: ["--config-file", ok.config, "MODEL.WEIGHTS", x]),
    "train json": (
        "seesaw_d2.train.command_line",
        lambda x, ok: [*ok.train, f"[{{'NAME': 'odd', 'JSON': {x!r}, 'IMAGES': '.'}}]"],
    ),
    "train images": (
        "seesaw_d2.train.command_line",
        lambda x, ok: [*ok.train, f"[{{'NAME': 'odd', 'JSON': {ok.json!r}, 'IMAGES': {x!r}}}]"],
    ),
    "train proposals": (
        "seesaw_d2.train.command_line",
        lambda x, ok: [
            "--config-file",
            ok.config,
            "MODEL.LOAD_PROPOSALS",
            "True",
            "DATASETS.PROPOSAL_FILES_TRAIN",
            str((x,)),
            "DATASETS.PROPOSAL_FILES_TEST",
            str((x,)),
        ],
    ),
    "lazy config": ("seesaw_d2.train.lazyconfig.job", lambda x, ok: ["--config-file", x]),
    "demo config": (
        "seesaw_d2.predict.demo",
        lambda x, ok: ["--config-file", x, "--input", ok.image, "--output", ok.out],
    ),
    "demo input": (
        "seesaw_d2.predict.demo",
        lambda x, ok: [
            "--config-file",
            ok.config,
            "--input",
            x,
            "--output",
            ok.out,
            "--opts",
            "MODEL.WEIGHTS",
            ok.weights,
        ],
    ),
    "demo weights": (
        "seesaw_d2.predict.demo",
        lambda x, ok: [
            "--config-file",
            ok.config,
            "--input",
            ok.image,
            "--output",
            ok.out,
            "--opts",
            "MODEL.WEIGHTS",
            x,
        ],
    ),
    "analyze config": ("analyze_dataset", lambda x, ok: ["--config-file", x, "--output", ok.out]),
    "analyze counts": ("analyze_dataset", lambda x, ok: ["--counts", x, "--num-images", "10", "--output", ok.out]),
    "calibrate weights": (
        "calibrate",
        lambda x, ok: ["--config-file", ok.config, "--output", ok.out, "MODEL.WEIGHTS", x],
    ),
    "choose loss weights": (
        "choose_loss",
        lambda x, ok: ["--config-file", ok.config, "--output", ok.out, "MODEL.WEIGHTS", x],
    ),
    "compare file": ("compare", lambda x, ok: [x, "main", "--output", ok.out]),
    "convert mmdet": ("convert_mmdet_checkpoint", lambda x, ok: [x, f"{ok.out}/a.pth"]),
    "convert torchvision": (
        "convert_torchvision_checkpoint",
        lambda x, ok: [x, f"{ok.out}/a.pth", "--config-file", ok.config],
    ),
    "convert weights": ("convert_weights", lambda x, ok: [x, f"{ok.out}/a.safetensors"]),
    "draw runs": ("draw_answers", lambda x, ok: [x, x, "--output", f"{ok.out}/a.jpg"]),
    "evaluate results": ("evaluate_results", lambda x, ok: [x, "--annotations", ok.json, "--output", ok.out]),
    "evaluate annotations": ("evaluate_results", lambda x, ok: [ok.results, "--annotations", x, "--output", ok.out]),
    "evaluate checkpoint": (
        "evaluate_results",
        lambda x, ok: [ok.results, "--annotations", ok.json, "--checkpoint", x],
    ),
    "export weights": (
        "export",
        lambda x, ok: ["--config-file", ok.config, "--format", "torchscript", "--output", ok.out, "MODEL.WEIGHTS", x],
    ),
    "export image": (
        "export",
        lambda x, ok: ["--config-file", ok.config, "--format", "torchscript", "--output", ok.out, "--sample-image", x],
    ),
    "class means": (
        "nearest_class_mean",
        lambda x, ok: [x, f"{ok.out}/a.pth", "--config-file", "configs/digits/ncm.yaml", "MODEL.DEVICE", "cpu"],
    ),
    "pool annotations": ("pool_folds", lambda x, ok: [ok.out, "--fold", x, ok.results]),
    "pool results": ("pool_folds", lambda x, ok: [ok.out, "--fold", ok.json, x]),
    "class counts": ("record_class_counts", lambda x, ok: [x, f"{ok.out}/counts.json"]),
    "report": ("report", lambda x, ok: [x, "--output", f"{ok.out}/report.html"]),
    "collect": ("run_results", lambda x, ok: ["collect", x, f"{ok.out}/runs.json", "--commit", "abc"]),
    "table": ("run_results", lambda x, ok: ["table", x]),
    "normalize": ("tau_normalize", lambda x, ok: [x, f"{ok.out}/a.pth", "--tau", "0.5", "--config-file", ok.config]),
    "export of a tool": ("prepare_export", lambda x, ok: [x, "--output", ok.out]),
    "images of a tool": ("prepare_export", lambda x, ok: [ok.json, "--output", ok.out, "--images", x]),
    "muscima": ("prepare_muscima", lambda x, ok: [x, "--output", ok.out, "--workers", "1"]),
    "muscima images": (
        "prepare_muscima",
        lambda x, ok: [ok.muscima, "--images", x, "--output", ok.out, "--workers", "1"],
    ),
}


@pytest.fixture
def valid(tmp_path, config_file, monkeypatch):
    monkeypatch.syspath_prepend(str(Path("datasets").resolve()))
    monkeypatch.setenv("SEESAW_D2_CACHE", "")
    for folder in ("good", "good/images"):
        (tmp_path / folder).mkdir(exist_ok=True)
    write_images(tmp_path / "good/images", toy_data())
    torch.save({"model": {"x": torch.ones(1)}}, tmp_path / "good/w.pth")
    return SimpleNamespace(
        config=str(config_file),
        train=["--config-file", str(config_file), "DATASETS.TRAIN", "('odd',)", "DATASETS.REGISTER"],
        json=write(tmp_path / "good", toy_data()),
        results=write(tmp_path / "good", [], "results.json"),
        weights=str(tmp_path / "good/w.pth"),
        image=str(next((tmp_path / "good/images").iterdir())),
        muscima=str(write_source(tmp_path / "muscima")),
        out=str(tmp_path / "out"),
    )


def state(folder: Path) -> dict[str, tuple]:
    found = {path: path.lstat() for path in folder.rglob("*")}
    return {str(path): (each.st_mode, each.st_size, each.st_mtime_ns * path.is_file()) for path, each in found.items()}


def fault_of(module: str, arguments: list[str], folder: Path, capfd) -> str:
    """Return a description of what is wrong with the result of a command, or ""."""
    before, begin = state(folder), time.process_time()
    _already_logged.clear()
    try:
        with time_limit(8 * SECONDS):
            status = importlib.import_module(module).main(arguments)
    except SystemExit as error:
        status = error.code
    except BaseException as error:
        return repr(error)[:300]
    seconds, lines = time.process_time() - begin, capfd.readouterr().err.splitlines()
    if status != 2 or len(lines) != 1 or len(lines[0]) > 2000 or not lines[0].isprintable():
        return f"status {status}, {len(lines)} lines: {lines[-3:]}"
    if seconds > SECONDS or (folder / "odd" / CANARY).exists():
        return f"{seconds:.1f} s" if seconds > SECONDS else "ran code"
    changed = {path for path, each in state(folder).items() if before.get(path) != each} | before.keys() - state(folder)
    for path in changed - before.keys():
        shutil.rmtree(path, ignore_errors=True)
    return f"changed {sorted(changed)[:3]}" if changed else ""


def run(tmp_path: Path, valid, capfd, every: int) -> None:
    odd = odd_paths(tmp_path / "odd")
    pairs = [(command, name) for command in COMMANDS for name in odd]
    faults = {}
    for command, name in pairs[::every]:
        module, arguments = COMMANDS[command]
        if fault := fault_of(module, arguments(odd[name], valid), tmp_path, capfd):
            faults[f"{command}: {name!r}"] = fault
    assert not faults, json.dumps(faults, indent=1)[:8000]


def test_a_sample(tmp_path, valid, capfd):
    run(tmp_path, valid, capfd, every=31)


@pytest.mark.slow
def test_all(tmp_path, valid, capfd):
    run(tmp_path, valid, capfd, every=1)
