"""Test tools/gpu.py without a GPU: its requirements, its parts with short commands, and the readers of outputs."""

import json
import logging
import runpy
import subprocess
import sys
from pathlib import Path

import gpu
import pytest
import torch
from gpu_parts import machine, parts, readers, running
from gpu_parts.parts import PARTS, Part

ROOT = Path(__file__).parents[2]


def test_without_a_gpu_it_says_what_it_needs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "GPU" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("found", "enough"), [("2.5.1+cu124", False), ("2.6.0", True), ("3.0.0a1", True)])
def test_the_version_of_pytorch(found, enough, monkeypatch):
    monkeypatch.setattr(torch, "__version__", found)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (machine.missing() is None) == enough
    assert enough or found in machine.missing()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(machine, "MODULES", ["torch", "no_such_module"])
    assert "no_such_module" in machine.missing()


def one_part(*codes, name="a part, small", limit=60.0, read=lambda output, folder: [("said", output.strip())]):
    return Part(name, "for tests", lambda folder: [["-c", code] for code in codes], limit, read)


def call(tmp_path, monkeypatch, *some_parts, arguments=(), commit="1"):
    """Return a function that runs tools/gpu.py with the given parts, as on a machine with a GPU."""
    monkeypatch.setattr(gpu, "PARTS", some_parts)
    monkeypatch.setattr(machine, "missing", lambda: None)
    monkeypatch.setattr(machine, "description", lambda root: ["Card, 80 GB", f"commit {commit}"])
    status = gpu.main(["--output", str(tmp_path), *arguments])
    return status, (tmp_path / "table.md").read_text()


COUNT = "import pathlib; p = pathlib.Path({!r}); p.open('a').write('x'); print(len(p.read_text()))"


def test_a_finished_part_is_not_repeated(tmp_path, monkeypatch):
    part = one_part(COUNT.format(str(tmp_path / "calls")))
    for arguments, commit, calls in (((), "1", 1), ((), "1", 1), ((), "2", 2), (("--again",), "2", 3)):
        status, table = call(tmp_path, monkeypatch, part, arguments=arguments, commit=commit)
        assert status == 0
        assert f"| said | {calls} |" in table
        assert f"Card, 80 GB. commit {commit}." in table


def test_a_failed_part_is_repeated(tmp_path, monkeypatch):
    part = one_part(COUNT.format(str(tmp_path / "calls")) + "; raise SystemExit(1)")
    other = Part("another", "passes", lambda folder: [["-c", "print(7)"]], 60, lambda output, folder: [("", output[0])])
    for calls in (1, 2):
        status, table = call(tmp_path, monkeypatch, part, other)
        assert status == 1
        assert f"| said | {calls} |" in table
        assert "failed" in table
        assert "| another: passes |  | 7 |" in table


def test_less_memory(tmp_path, monkeypatch):
    """Test that the next command runs after "out of memory", and after no other error."""
    short = "raise SystemExit('torch.OutOfMemoryError: CUDA out of memory. Tried to allocate')"
    assert call(tmp_path, monkeypatch, one_part(short, "print(8)"))[0] == 0
    assert "| said | 8 |" in (tmp_path / "table.md").read_text()
    for commands in (["raise SystemExit('another')", "print(8)"], [short, short]):
        assert call(tmp_path, monkeypatch, one_part(*commands), arguments=["--again"])[0] == 1


def test_the_time_is_up(tmp_path, monkeypatch):
    """Test that a part that reaches the time limit continues in the next call, and that other results stay."""
    monkeypatch.setattr(running, "SHORT", 0.1)
    long = f"""
import pathlib, time
folder = pathlib.Path({str(tmp_path)!r}) / "a part, small"
if folder.exists():
    print("continued")
else:
    folder.mkdir()
    time.sleep(60)
"""
    status, table = call(
        tmp_path, monkeypatch, one_part(long), one_part("1", name="b"), arguments=["--minutes", "0.02"]
    )
    assert status == 3
    assert running.UNFINISHED in table
    status, table = call(tmp_path, monkeypatch, one_part(long))
    assert status == 0
    assert "| said | continued |" in table


def test_an_interrupted_part_continues(tmp_path, monkeypatch):
    """Test that the files of a part are also kept after ctrl-C."""
    part = one_part("print('continued')")
    (tmp_path / "gpu.txt").touch()
    (tmp_path / part.name).mkdir()

    def interrupted(*_):
        (tmp_path / part.name).mkdir(exist_ok=True)
        (tmp_path / part.name / "checkpoint").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "_logged", interrupted)
        patch.setattr(machine, "missing", lambda: None)
        patch.setattr(machine, "description", lambda root: ["Card, 80 GB", "commit 1"])
        patch.setattr(gpu, "PARTS", [part])
        assert gpu.main(["--output", str(tmp_path)]) == 130
    assert call(tmp_path, monkeypatch, part)[0] == 0
    assert (tmp_path / part.name / "checkpoint").exists()


def test_some_parts(tmp_path, monkeypatch):
    """Test that the exit status refers to the selected parts, and that the table contains all parts."""
    other = Part("other", "fails", lambda folder: [["-c", "1 / 0"]], 60, lambda output, folder: [])
    status, table = call(tmp_path, monkeypatch, one_part("print(1)"), other, arguments=["--parts", "a part, small"])
    assert status == 0
    assert "other: fails |  | **not run**" in table
    assert call(tmp_path, monkeypatch, one_part("print(1)"), other, arguments=["--parts", "other"])[0] == 1


def test_a_part_that_hangs_fails(tmp_path, monkeypatch):
    status, table = call(tmp_path, monkeypatch, one_part("import time; time.sleep(60)", limit=0.5))
    assert status == 1
    assert "0 s" in table


def test_output_that_cannot_be_read_is_a_failure(tmp_path, monkeypatch):
    status, table = call(tmp_path, monkeypatch, one_part("print('no table')", read=readers.losses))
    assert status == 1
    assert "failed" in table


def test_parts_that_were_not_run_are_in_the_table(tmp_path, monkeypatch):
    status, table = call(tmp_path, monkeypatch, one_part("print(1)"), arguments=["--minutes", "0"])
    assert status == 3
    assert "for tests" in table


def test_names_and_tests():
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
    found = {path.stem.removeprefix("test_") for path in (ROOT / "tests/cuda").glob("test_*.py")}
    assert found == parts.TESTS.keys()


def test_the_summary_of_pytest(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "def test_a(): pass\n"
        "@pytest.mark.skip(reason='needs two GPUs')\n"
        "def test_b(): pass\n"
        "def test_c(): assert False, 'a|b'\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path]
    output = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout
    rows = readers.tests(output, tmp_path)
    assert rows[0] == ("all", "1 failed, 1 passed, 1 skipped")
    assert ("skipped: 1", "needs two GPUs") in rows
    assert [case for case, _ in rows if case.startswith("failed: ") and case.endswith("test_it.py::test_c")]
    assert not any("|" in cell for row in rows for cell in row)


@pytest.fixture
def output_of(monkeypatch, capsys):
    """Return ``output_of(program, *arguments)``, which runs a program of benchmarks/ and returns its output."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))

    def run(program, *arguments):
        threads = torch.get_num_threads()
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        try:
            runpy.run_path(str(ROOT / "benchmarks" / program), run_name="__main__")
        finally:
            logging.disable(logging.NOTSET)
            torch.set_num_threads(threads)
        return capsys.readouterr().out

    return run


def test_the_table_of_losses(output_of):
    output = output_of("losses.py", "--categories", "8", "--foreground", "4", "64", "--repetitions", "2")
    rows = readers.losses(output, ROOT)
    assert [case for case, _ in rows] == ["C = 8, 4 foreground", "C = 8, 64 foreground"]
    assert all("cross-entropy" in value and " ms" in value for _, value in rows)


def test_the_table_of_mask_heads(output_of):
    output = output_of("mask_head.py", "--regions", "2", "--categories", "5", "3", "--repetitions", "1")
    rows = readers.mask_heads(output, ROOT)
    assert len(rows) == 12
    assert float(rows[0][1].split(" ms")[0]) > 0


def test_the_table_of_training(output_of):
    small = ("--images", "2", "--size", "64", "--proposals", "16", "--repetitions", "1", "--model", "quickstart")
    rows = dict(readers.iteration(output_of("iteration.py", *small, "--options", "--only", "fused"), ROOT))
    first, *others = rows
    assert first == "train, 2 images of 64, Detectron2's"
    assert [each.removeprefix("train, 2 images of 64, ") for each in others] == ["ours", "ours, fused"]
    assert "(1.00)" in rows[first]
    assert "(1.00 of Detectron2's)" in rows[first]


def test_the_result_of_the_quickstart(tmp_path):
    path = tmp_path / "quickstart/inference/glyphs_val/results.json"
    with pytest.raises(readers.Unreadable, match="quickstart"):
        readers.quickstart("", tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"bbox": {"AP": 57.25, "APr": 40, "APc": 55, "APf": 70, "AP50": 1}}))
    rows = readers.quickstart("", tmp_path)
    assert rows[0] == ("box AP", f"57.2 (CPUs: {readers.CPU_AP['AP']})")
    lines = (ROOT / "docs/glyphs.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith("| Seesaw Loss (with"))
    assert [cell.strip() for cell in row.split("|")][2:6] == list(readers.CPU_AP.values())


def test_folders_of_others_are_not_emptied(tmp_path, monkeypatch):
    """Test that folders of other programs are not emptied. The folder of a part is removed before the part starts."""
    part = one_part("print('done')", name="inference")
    (tmp_path / "inference").mkdir()
    (tmp_path / "inference/results.json").touch()
    monkeypatch.setattr(machine, "missing", lambda: None)
    monkeypatch.setattr(gpu, "PARTS", [part])
    assert gpu.main(["--output", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["inference", "results.json"]
