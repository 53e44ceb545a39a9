"""Test tools/run_results.py: results of several runs in one file, and their tables."""

import json
import math
import re
import shutil

import published_order
import pytest
import run_results


def write_run(folder, row, seed, overall, correct=(9, 0)):
    run = folder / row.replace(" ", "_") / f"seed{seed}"
    inference = run / "inference/x"
    inference.mkdir(parents=True, exist_ok=True)
    (run / "row.json").write_text(json.dumps({"name": row, "config": "c.yaml", "overrides": ["A.B", "1"]}))
    (run / "model_final.pth").touch()
    metrics = {"overall": overall, "many": 90.0, "medium": 50.0, "few": None, "ECE": 1.0}
    (inference / "results.json").write_text(json.dumps({"classification": metrics}))
    rows = [f"a,200,many,10,{correct[0]},12", f"b,7,few,5,{correct[1]},3", "c,1,few,0,0,5"]
    header = "class,train_images,shots,test_images,correct,predicted"
    (inference / "per_class.csv").write_text("\n".join([header, *rows]) + "\n")
    return run


def collect(folder, commit):
    assert run_results.main(["collect", str(folder), str(folder / "r.json"), "--commit", commit]) == 0
    return json.loads((folder / "r.json").read_text())


def test_collects_finished_runs_and_keeps_the_others(tmp_path):
    write_run(tmp_path, "CE", 2, 80.0)
    write_run(tmp_path, "CE", 1, 70.0)
    (write_run(tmp_path, "Seesaw", 1, 60.0) / "model_final.pth").unlink()
    runs = collect(tmp_path, "abc")
    assert [(run["row"], run["seed"], run["commit"]) for run in runs] == [("CE", 1, "abc"), ("CE", 2, "abc")]
    assert runs[0]["command"].split()[-4:] == ["SEED", "1", "A.B", "1"]
    assert runs[0]["classes"] == {"a": [200, 10, 9, 12], "b": [7, 5, 0, 3], "c": [1, 0, 0, 5]}
    assert runs[0]["metrics"]["classification"]["few precision"] == 0
    assert runs[0]["metrics"]["classification"]["classes"] == 45
    (tmp_path / "CE/seed2/model_final.pth").unlink()  # remove the weights of a finished run
    write_run(tmp_path, "CE", 1, 71.0)
    runs = collect(tmp_path, "def")
    assert [run["metrics"]["classification"]["overall"] for run in runs] == [71, 80]
    assert [run["commit"] for run in runs] == ["def", "abc"]


def test_unfinished_and_copied_runs_are_named(tmp_path, capsys):
    """Test the message about unfinished and copied runs. A run with results of an earlier iteration is unfinished."""
    run, other = write_run(tmp_path, "CE", 1, 70.0), write_run(tmp_path, "Seesaw", 1, 60.0)
    record = other / "inference/x/evaluation_settings.json"
    record.write_text('{"SOLVER.MAX_ITER": ["6", "4"]}')
    assert [run["row"] for run in collect(tmp_path, "abc")] == ["CE"]
    assert str(other) in capsys.readouterr().err
    before = (tmp_path / "r.json").read_text()
    copy = shutil.copytree(run, tmp_path / "CE_copy/seed1")
    assert run_results.main(["collect", str(tmp_path), str(tmp_path / "r.json"), "--commit", "abc"]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in (str(run), str(copy), "'CE'"))
    assert (tmp_path / "r.json").read_text() == before


@pytest.mark.parametrize("folder", ["nowhere", "empty", "r.json"])
def test_a_folder_without_runs(tmp_path, capsys, folder):
    (tmp_path / "empty").mkdir()
    write_run(tmp_path, "CE", 1, 70.0)
    collect(tmp_path, "abc")
    before = (tmp_path / "r.json").read_text()
    for file in ("r.json", "new.json"):
        assert run_results.main(["collect", str(tmp_path / folder), str(tmp_path / file), "--commit", "abc"]) == 2
        assert folder in capsys.readouterr().err
    assert (tmp_path / "r.json").read_text() == before
    assert not (tmp_path / "new.json").exists()


def test_precision_of_few_shots(tmp_path):
    write_run(tmp_path, "CE", 1, 70.0, correct=(9, 2))
    (run,) = collect(tmp_path, "abc")
    assert run["metrics"]["classification"]["few precision"] == 100 * 2 / 8
    assert run["metrics"]["classification"]["classes"] == (90 + 40) / 2


def test_table(tmp_path, capsys):
    for row, seed, overall in (("CE", 1, 70), ("CE", 2, 80), ("B", 1, 71), ("B", 2, 82), ("B", 3, 90)):
        write_run(tmp_path, row, seed, float(overall))
    collect(tmp_path, "abc")
    capsys.readouterr()
    assert run_results.main(["table", str(tmp_path / "r.json"), "--rows", "B", "CE"]) == 0
    header, _, *lines = [line.strip("|").split("|") for line in capsys.readouterr().out.splitlines()]
    cells = [dict(zip(map(str.strip, header), map(str.strip, line), strict=True)) for line in lines]
    assert [(row[""], row["seeds"], row["overall"]) for row in cells] == [
        ("B", "3", "81.0 ± 9.5"),
        ("CE", "2", "75.0 ± 7.1"),
    ]
    assert (cells[0]["few"], cells[0]["classes"]) == ("-", "45.0 ± 0.0")
    assert run_results.main(["table", str(tmp_path / "r.json"), "--rows", "B", "--against", "CE"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3  # only seeds that both rows have
    assert "| B | 2 | 1.5 ± 0.7 |" in lines[2]
    write_run(tmp_path, "D", 4, 99.0)
    collect(tmp_path, "abc")
    capsys.readouterr()
    assert run_results.main(["table", str(tmp_path / "r.json"), "--against", "CE"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[3].startswith("| D | 0 | - |")  # no seed of CE


def test_runs_of_a_row_with_other_settings_are_noted(tmp_path, capsys):
    """Test a row whose overrides have changed after the first seed. A mean over its seeds mixes two settings."""
    for row, seed in (("CE", 1), ("CE", 2), ("B", 1), ("B", 2)):
        run = write_run(tmp_path, row, seed, 70.0)
    mark = run / "row.json"
    mark.write_text(mark.read_text().replace('"1"', '"2"'))
    collect(tmp_path, "abc")
    for rows, noted in (([], True), (["--rows", "CE"], False)):
        capsys.readouterr()
        assert run_results.main(["table", str(tmp_path / "r.json"), *rows]) == 0
        error = capsys.readouterr().err
        assert all((word in error) == noted for word in ("'B'", "seed 1: ", "A.B 1", "seed 2: ", "A.B 2"))
        assert "'CE'" not in error


def test_a_run_twice(tmp_path, capsys):
    """Test a file in which two runs have the same row and seed, as after a merge of two versions of the file."""
    write_run(tmp_path, "CE", 1, 70.0)
    (run,) = collect(tmp_path, "abc")
    text = json.dumps([run, {**run, "metrics": {"classification": {"overall": 80.0}}}])
    (tmp_path / "r.json").write_text(text)
    capsys.readouterr()
    for arguments in (["table"], ["collect", str(tmp_path), "--commit", "def"]):
        assert run_results.main([arguments[0], *arguments[1:2], str(tmp_path / "r.json"), *arguments[2:]]) == 2
        error = capsys.readouterr().err
        assert all(word in error for word in ("r.json", "'CE'", "seed 1"))
    assert (tmp_path / "r.json").read_text() == text


def test_wrong_rows_are_named(tmp_path, capsys):
    write_run(tmp_path, "CE", 1, 70.0)
    collect(tmp_path, "abc")
    for arguments in (["--rows", "EC"], ["--against", "EC"]):
        assert run_results.main(["table", str(tmp_path / "r.json"), *arguments]) == 2
        assert re.search(r"'CE'.*'EC'", capsys.readouterr().err)
    assert run_results.main(["table", str(tmp_path / "r.json"), "--against", "CE"]) == 2  # the table would have no rows
    assert re.search(r"--against.*'CE'", capsys.readouterr().err)
    with pytest.raises(SystemExit):
        run_results.main(["collect", str(tmp_path), str(tmp_path / "r.json"), "--commit", " "])
    assert "--commit" in capsys.readouterr().err
    assert run_results.main(["table", str(tmp_path / "nothing.json")]) == 2
    assert "nothing.json" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["my notes", "{}", "[5]", "[[]]", '[{"row": 1}]', "", "\xff", "[" * 100_000])
def test_other_files_are_not_replaced(tmp_path, text, capsys):
    write_run(tmp_path, "CE", 1, 70.0)
    (tmp_path / "r.json").write_bytes(text.encode("latin-1"))
    assert run_results.main(["collect", str(tmp_path), str(tmp_path / "r.json"), "--commit", "abc"]) == 2
    assert run_results.main(["table", str(tmp_path / "r.json")]) == 2
    assert capsys.readouterr().err.count("r.json: ") == 2
    assert (tmp_path / "r.json").read_bytes() == text.encode("latin-1")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(
            ("row.json", text)
            for text in ("", "[]", "{}", '{"name": 5}', '{"name": "a", "config": "c", "overrides": 5}')
        ),
        *(("inference/x/results.json", text) for text in ("[]", '{"classification": 5}', '{"bbox": {"AP": "x"}}')),
        *(("inference/x/per_class.csv", text) for text in ("", "class\na\n", "\xff", "class,train_images\na,x\n")),
    ],
)
def test_damaged_runs_are_named(tmp_path, name, text, capsys):
    (write_run(tmp_path, "CE", 1, 70.0) / name).write_bytes(text.encode("latin-1"))
    assert run_results.main(["collect", str(tmp_path), str(tmp_path / "r.json"), "--commit", "abc"]) == 2
    assert name in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("first", "second", "tau"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1),
        ([1, 2, 3, 4], [1, 3, 2, 4], 4 / 6),
        ([12, 2, 1, 12, 2], [1, 4, 7, 1, 0], -0.4714045207910316),  # example of scipy.stats.kendalltau
    ],
)
def test_kendall(first, second, tau):
    assert published_order.kendall(first, second) == pytest.approx(tau, abs=1e-12)
    assert published_order.kendall(second, first) == pytest.approx(tau, abs=1e-12)


def test_kendall_is_undefined_without_differences():
    assert math.isnan(published_order.kendall([1, 1], [1, 2]))


def test_order_of_means_and_of_seeds(tmp_path, capsys):
    for row, *values in (("A", 70, 90), ("B=1", 71, 80), ("C", 75, 70)):
        for seed, value in enumerate(values, 1):
            write_run(tmp_path, row, seed, float(value))
    write_run(tmp_path, "C", 3, 98.0)  # a seed that the other rows do not have counts only in the mean
    collect(tmp_path, "abc")
    capsys.readouterr()
    file = str(tmp_path / "r.json")
    assert run_results.main(["order", file, "classification", "overall", "A=1", "B=1=2.5", "C=3"]) == 0
    *lines, note = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert note[0] == "note"
    assert all(words in " ".join(note) for words in ("'A': 1, 2;", "'B=1': 1, 2;", "'C': 1, 2, 3"))
    assert lines == [["means", "τ", "=", "0.33"], ["seed", "1", "τ", "=", "1.00"], ["seed", "2", "τ", "=", "-1.00"]]
    assert run_results.main(["order", file, "classification", "overall", "A=1", "B=1=2.5"]) == 0
    assert "note" not in capsys.readouterr().out  # both rows have the same seeds
    for arguments, named in (
        (["classification", "overall", "A=1", "C"], "'C'"),
        (["classification", "overall", "A=1"], "found 1"),
        (["classification", "overall", "A=1", "A=2", "C=3"], "'A=2'"),
        (["bbox", "AP", "A=1", "C=2"], "bbox AP"),
        (["classification", "AP", "A=1", "C=2"], "classification AP"),
    ):
        assert run_results.main(["order", file, *arguments]) == 2
        assert named in capsys.readouterr().err


@pytest.mark.parametrize("value", [5, {"AP": "5"}, {"AP": True}, {"AP": {}}, {"AP": None}, None])
def test_order_of_values_that_are_no_numbers(tmp_path, capsys, value):
    """Test a task that has no columns in tables, so that its metrics are not checked when the file is read."""
    run = {"seed": 1, "command": "", "metrics": {"keypoints": {"AP": 5}}}
    runs = [{**run, "row": "A"}, {**run, "row": "B", "metrics": {"keypoints": value}}]
    (tmp_path / "r.json").write_text(json.dumps(runs))
    assert run_results.main(["order", str(tmp_path / "r.json"), "keypoints", "AP", "A=1", "B=2"]) == 2
    error = capsys.readouterr().err
    assert "keypoints AP" in error
    assert "'B'" in error


def test_few_shot_classes_of_a_pool_are_those_of_the_runs(tmp_path, capsys):
    """Test that "few" counts the same classes in tables and pools, for any DATASETS.FREQUENCY_THRESHOLDS."""
    write_run(tmp_path, "CE", 1, 70.0, correct=(9, 2))
    lines = "class,train_images,shots,test_images,correct,predicted a,60,many,10,9,12 b,30,few,5,2,3 c,0,few,3,0,5"
    (tmp_path / "CE/seed1/inference/x/per_class.csv").write_text(lines.replace(" ", "\n"))
    (run,) = collect(tmp_path, "abc")
    capsys.readouterr()
    assert run_results.main(["pooled", str(tmp_path / "r.json"), "--rows", "CE"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "25.0 % of 8 " in lines[1]
    assert f"{run['metrics']['classification']['few precision']:.1f} % of 8 " in lines[2]
