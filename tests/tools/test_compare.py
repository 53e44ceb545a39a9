"""Test tools/compare.py: rows are configs with valid overrides, and the table contains the results of the runs."""

import json
import os
import shlex
import signal
import time
from pathlib import Path

import compare
import pytest
import yaml
from comparison_rows import choose, read_rows

from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.losses.build import build_loss
from seesaw_d2.train import load_config
from seesaw_d2.train.preflight.config_checks import check_names

ROOT = Path(compare.__file__).parents[1]
FILES = sorted((ROOT / "tools").glob("*_comparisons.yaml"))
FILE = ROOT / "tools/glyph_comparisons.yaml"
COMPARISONS = [(path, name) for path in FILES for name in yaml.safe_load(path.read_text())]


@pytest.mark.parametrize(("path", "comparison"), COMPARISONS, ids=lambda value: getattr(value, "stem", value))
def test_rows_are_valid_and_distinct(path, comparison):
    rows, resolved = read_rows(path, comparison), set()
    for row in rows:
        cfg = load_config(str(ROOT / row["config"]), [*row["overrides"], "MODEL.DEVICE", "cpu"])
        check_names(cfg)
        build_loss(cfg, 4, has_background=cfg.MODEL.META_ARCHITECTURE != "ImageClassifier")
        cfg.OUTPUT_DIR = ""
        resolved.add(cfg.dump() + row.get("convert", ""))
    assert len(resolved) == len(rows) == len({row["name"] for row in rows})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_one_folder_one_training(path, tmp_path):
    """Test that a row in several comparisons is the same training in all of them."""
    trainings = {}
    for comparison in yaml.safe_load(path.read_text()):
        for row in read_rows(path, comparison):
            folder = compare.folder_of(row["name"], 1, tmp_path)
            assert trainings.setdefault(folder, row) == row, comparison


def test_some_rows_and_what_they_start_from():
    rows = read_rows(FILE, "decoupled")
    assert [row["name"] for row in choose(rows, ["cRT", "DE-BAGS"])] == ["CE", "cRT", "DE-BAGS"]
    assert choose(rows, None) == rows
    with pytest.raises(ConfigError, match=r"--rows: .*'CE', .* found 'crt'"):
        choose(rows, ["crt"])
    with pytest.raises(ConfigError, match=r"expected one of .* main, .* found 'mian'"):
        read_rows(FILE, "mian")


def test_finished_runs_are_tabulated_without_training(tmp_path, capsys):
    rows = read_rows(FILE, "plain")
    for seed, value in ((1, 10.0), (2, 20.0)):
        for name in ("CE", "CE_objectness_NLA", "Seesaw_NLA"):
            row = next(row for row in rows if compare.folder_of(row["name"], seed, tmp_path).parent.name == name)
            compare.claim(row, seed, tmp_path)
            folder = tmp_path / name / f"seed{seed}"
            (folder / "inference/glyphs_val").mkdir(parents=True)
            (folder / "model_final.pth").write_bytes(b"")
            metrics = dict.fromkeys(("AP", "APr", "APc", "APf"), value)
            (folder / "inference/glyphs_val/results.json").write_text(json.dumps({"bbox": metrics, "segm": metrics}))
    assert compare.main([str(FILE), "plain", "--seeds", "1", "2", "--output", str(tmp_path)]) == 0
    assert "| Seesaw, NLA | 15.0 ± 7.1 |" in capsys.readouterr().out
    assert (tmp_path / "plain.md").is_file()


def test_a_row_starts_from_the_row_above_with_the_same_seed(tmp_path):
    rows = {row["name"]: row for row in read_rows(ROOT / "tools/digits_comparisons.yaml", "table10")}
    source = str(tmp_path / "cross_entropy/seed2/model_final.pth")
    (crt,) = compare.commands_of(rows["cRT (decoupled)"], 2, tmp_path)
    assert crt[crt.index("MODEL.WEIGHTS") + 1] == source
    assert "--resume" in crt
    convert, evaluate = compare.commands_of(rows["NCM (decoupled)"], 2, tmp_path)
    written = str(tmp_path / "NCM_decoupled/seed2/model_final.pth")
    assert convert[:3] == ["tools/nearest_class_mean.py", source, written]
    assert evaluate[evaluate.index("MODEL.WEIGHTS") + 1] == written
    assert "--eval-only" in evaluate


def test_printed_commands_are_words_of_a_shell(tmp_path, capsys):
    path = tmp_path / "rows.yaml"
    overrides = '{SOLVER.STEPS: "(1, 2)", DATASETS.REGISTER: [{NAME: x}]}'
    path.write_text(f"main: [{{name: a, config: c.yaml, overrides: {overrides}}}]")
    compare.main([str(path), "main", "--seeds", "1", "--commands"])
    words = shlex.split(capsys.readouterr().out)
    assert words[-4:] == ["SOLVER.STEPS", "(1, 2)", "DATASETS.REGISTER", "[{'NAME': 'x'}]"]


def test_a_row_cannot_start_from_one_below(tmp_path):
    path = tmp_path / "rows.yaml"
    path.write_text("main:\n  - {name: a, config: x, after: b}\n  - {name: b, config: x}\n")
    with pytest.raises(ConfigError, match=r"a: after: .* found 'b'"):
        read_rows(path, "main")


def test_rows_that_start_from_others_come_after_them(tmp_path, monkeypatch):
    done = []

    def train(row, seed, output):
        assert "after" not in row or (row["after"], seed) in done
        done.append((row["name"], seed))
        return seed

    monkeypatch.setattr(compare, "train", train)
    rows = [{"name": "a"}, {"name": "b", "after": "a"}, {"name": "c", "after": "b"}]
    assert compare.run_all(rows, [1, 2, 3], tmp_path, 2) == {name: [1, 2, 3] for name in "abc"}
    assert len(done) == 9


def test_ctrl_c_starts_no_other_run(tmp_path, monkeypatch, capsys):
    """Test that after ctrl-C no other run starts. The current run also gets the signal, and is waited for."""
    started, ended = [], []

    def train(row, seed, output):
        started.append(seed)
        time.sleep(0.5)  # wait until all runs are submitted
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)  # the current run saves its checkpoint
        ended.append(seed)

    monkeypatch.setattr(compare, "train", train)
    arguments = ["--rows", "CE", "--seeds", "1", "2", "3", "--output", str(tmp_path)]
    assert compare.main([str(FILE), "plain", *arguments]) == 130
    assert started == ended == [1]
    assert "run the same command" in capsys.readouterr().err


ROW = "{name: a, config: c.yaml}"
MALFORMED = [
    *(
        "",
        "null",
        "[]",
        "5",
        "a: [",
        "main",
        "main: 5",
        "main: null",
        "main: {}",
        "main: []",
        "main: [5]",
        "main: [[a]]",
    ),
    *("main: [{name: a}]", "main: [{config: c}]", "main: [{name: 5, config: c}]", "main: [{name: a, config: [c]}]"),
    *("main: [{name: a, config: c, overrides: [1]}]", "main: [{name: a, config: c, overrides: {1: 2}}]"),
    *("main: [{name: a, config: c, after: [x]}]", "main: [{name: a, config: c, after: b}]", "main: !!timestamp x"),
    *("main: [{name: 2024-01-01, config: c}]", 'main: [{name: "\\ud800", config: c}]', f"main: [{ROW}, {ROW}]"),
    *(
        f"main: [{ROW}, {{name: b, config: c, after: a, convert: '{text}'}}]"
        for text in ("{x}", "{", "{0}", "{output.x}")
    ),
    *(
        "main: [{name: b, config: c, convert: x.py}]",
        'main: [{name: "/", config: c}]',
        'main: [{name: "\\e[2J", config: c}]',
    ),
]


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_comparisons_are_named_in_one_line(tmp_path, text, capsys):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    assert compare.main([str(path), "main", "--commands"]) == 2
    assert f"error: {path}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"bbox": 5}', '{"bbox": {"AP": "x"}}', '{"bbox": {"AP": [1]}}', "\xff"]
)
def test_malformed_results_are_named(tmp_path, text):
    path = tmp_path / "inference/toy/results.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SeesawError, match=r"results\.json"):
        compare.read_results(tmp_path)


def test_a_comparison_writes_only_to_its_own_files(tmp_path, capsys, monkeypatch):
    """Test that foreign tables and folders, links, and names of other folders are refused before a run starts."""
    monkeypatch.setattr(compare, "train", lambda row, seed, output: {"bbox": {}})
    file, output = tmp_path / "rows.yaml", tmp_path / "output"
    other = "{name: b, config: c}"
    command = [str(file), "main", "--seeds", "1", "--output", str(output)]

    def refused(what: str, text: str = f"main: [{ROW}, {other}]", arguments=command) -> None:
        file.write_text(text)
        before = sorted((path, path.is_file() and path.read_text()) for path in tmp_path.rglob("*"))
        assert compare.main(arguments) == 2
        assert what in capsys.readouterr().err
        after = sorted((path, path.is_file() and path.read_text()) for path in tmp_path.rglob("*"))
        assert {each for each in before if each[0] != file} <= set(after)
        assert not list(tmp_path.glob("*.md"))

    refused("../x.md", f"../x: [{ROW}]", [str(file), "../x", "--output", str(output)])
    for key in ("OUTPUT_DIR", "SEED"):
        refused(key, f"main: [{{name: a, config: c, overrides: {{{key}: /elsewhere/x}}}}]")
    for program in ("../x.py", "/elsewhere/x.py", "none.py", "-c"):
        refused(
            program, f"main: [{ROW}, {{name: b, config: c, after: a, convert: '{program} {{weights}} {{output}}'}}]"
        )
    refused(
        "/x",
        f"main: [{ROW}, {{name: b, config: c, after: a, convert: 'tau_normalize.py {{weights}} /x'}}]",
    )
    output.mkdir()
    (output / "main.md").write_text("my notes")
    refused("main.md")
    (output / "main.md").unlink()
    (output / "b/seed1").mkdir(parents=True)
    (output / "b/seed1/thesis.txt").write_text("mine")
    refused("thesis.txt")
    (output / "b/seed1/thesis.txt").rename(tmp_path / "mine.txt")
    for name in (compare.MARK, "stdout.txt"):
        (output / "b/seed1" / name).symlink_to(tmp_path / "mine.txt")
        refused(name)
        (output / "b/seed1" / name).unlink()
    assert compare.main(command) == compare.main(command) == 0  # the program replaces its own table


@pytest.mark.parametrize("task", compare.METRICS)
def test_tables_of_earlier_versions_are_replaced(tmp_path, monkeypatch, task, capsys):
    """Test that tables of earlier versions, which have no mark, are replaced, but no other tables."""
    monkeypatch.setattr(compare, "train", lambda row, seed, output: {"bbox": {}})
    (file := tmp_path / "rows.yaml").write_text(f"main: [{ROW}]")
    made = compare.table({"a": [{task: {}}], "b | c": [{task: {}}]}) + "\n"
    (written := tmp_path / "main.md").write_text(made)
    command = [str(file), "main", "--seeds", "1", "--output", str(tmp_path)]
    for foreign in (f"{made}\nmy notes\n", f"my notes\n{made}", made.replace("|  |", "| model |"), "|  | mine |\n"):
        written.write_text(foreign)
        assert compare.main(command) == 2
        assert "main.md" in capsys.readouterr().err
        assert written.read_text() == foreign
    written.write_text(made)
    assert compare.main(command) == 0
    assert written.read_text() != made


def test_names_of_rows_are_text_in_a_table():
    text = compare.table({"a | b <img src=x> [c](d)": [{"bbox": {}}]})
    assert text.splitlines()[-1].startswith(r"| a \| b \<img src=x\> \[c\](d) | - |")
