"""Test that names in data cannot contain commands for a terminal, spreadsheet, web page or Matplotlib."""

import csv
import json
import logging
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from command_line import command
from detectron2.structures import Boxes, Instances

from seesaw_d2.data import read_annotations
from seesaw_d2.data.records.cache.store import open_annotations
from seesaw_d2.drawing.model_output import draw_instances
from seesaw_d2.errors import MAX_LENGTH, DataError
from seesaw_d2.evaluation.results_files import write_csv
from seesaw_d2.report.rendering import render
from seesaw_d2.train.logs import _Printable
from seesaw_d2.utils.escaping import cell, printable
from tests.data.toy import toy_data, write


@pytest.mark.parametrize("code", ["\x1b[2J", "\x07", "\r", "\x9b31m", "\u202e", "\x00", "\x7f", "\ud800", "\u2028"])
def test_control_codes_are_shown_as_escapes(code):
    text = printable(f"a{code}b\tc\nd")
    assert text.encode()
    assert text.startswith("a\\")
    assert text.endswith("b\tc\nd")
    assert all(each.isprintable() or each in "\t\n" for each in text)


def test_other_text_stays():
    for text in ("plain", "naïve $x_1$ 象 😀", "a-b=c", "two\nlines\there"):
        assert printable(text) == text


@pytest.mark.parametrize("name", ["=1+1", "+x", "-x", "@SUM(A1)", " =x", "\t=x", "\r=x", "\n=x"])
def test_no_cell_is_computed(tmp_path, name):
    write_csv(str(tmp_path / "a.csv"), [{"class": name, "value": -1.5, "id": -3}])
    with open(tmp_path / "a.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["class"] == f"'{printable(name)}"
    assert (row["value"], row["id"]) == ("-1.5", "-3")  # numbers stay numbers
    assert cell("plain = 1") == "plain = 1"


@pytest.mark.parametrize("colors", [True, False])
def test_log_lines(colors):
    formatter = _Printable(logging.Formatter("\x1b[32mINFO\x1b[0m %(message)s"), colors=colors)
    line = formatter.format(logging.makeLogRecord({"msg": "a\x1b]0;title\x07\ud800"}))
    start = "\x1b[32mINFO\x1b[0m" if colors else "INFO"
    assert line == start + " a\\x1b]0;title\\x07\\ud800"


def test_pages():
    page = render("base.html", title="<script>\x1b\ud800")
    assert "<script>\\" not in page
    assert "&lt;script&gt;\\x1b\\ud800" in page
    page.encode()


@pytest.mark.parametrize("name", ["$", "$\\frac{$", "a $x^2$ b", "\x1b$%_"])
def test_pictures(name):
    instances = Instances((40, 60), pred_boxes=Boxes(torch.tensor([[5.0, 5, 30, 30]])))
    instances.scores, instances.pred_classes = torch.tensor([0.9]), torch.tensor([0])
    image = np.zeros((40, 60, 3), np.uint8)
    assert (draw_instances(image, instances, [name]) != image).any()


HALVES = ["\ud800", "a\udfffb"]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("field", ["name", "supercategory", "synset", "def"])
@pytest.mark.parametrize("read", [read_annotations, open_annotations])
def test_half_characters_are_refused_before_anything_is_computed(tmp_path, field, half, read):
    data = toy_data()
    data["categories"][1][field] = half
    path = write(tmp_path, data)
    with pytest.raises(DataError, match="categories") as error:
        read(path)
    assert path in str(error.value)
    assert str(data["categories"][1]["id"]) in str(error.value)


@pytest.mark.parametrize("value", [{}, ["a"], 5, {"a": "\ud800"}])
def test_a_supercategory_that_is_no_name(tmp_path, value):
    data = toy_data()
    data["categories"][0]["supercategory"] = value
    with pytest.raises(DataError, match=r"supercategory|half"):
        read_annotations(write(tmp_path, data))


def test_programs_print_names_as_escapes(tmp_path):
    """Test the escapes in the output and in the error messages of programs."""
    data = toy_data()
    data["categories"][0]["name"] = "\x1b]0;owned\x07"
    path = write(tmp_path, data)
    results = write(tmp_path, json.loads("[]"), "results\x1b[2J.json")
    command = [sys.executable, "tools/evaluate_results.py", "--annotations", path, results]
    done = subprocess.run([*command, "x\x1b[2J"][:-1], capture_output=True, text=True, check=False)
    assert "\x1b" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_messages_are_one_printable_line_of_limited_length():
    error = DataError("a\n  b\x1b[2J\u202e" + "c\n" * 10**5)
    assert str(error).startswith("a b\\x1b[2J\\u202ec c")
    assert len(str(error)) <= MAX_LENGTH
    assert str(error).endswith("c c")
    assert "…" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.args) == (DataError, str(error), error.args)


def test_the_message_of_a_loaders_worker_is_its_errors():
    """Test that the error of a worker has the message of the original error. PyTorch adds the traceback."""

    class Broken(torch.utils.data.Dataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            raise DataError("x.jpg: cannot be read:\nname: value")

    with pytest.raises(DataError) as error:
        next(iter(torch.utils.data.DataLoader(Broken(), num_workers=1)))
    assert str(error.value) == "x.jpg: cannot be read: name: value"


@pytest.mark.parametrize("problem", [OSError(28, "No space left", "a\nb"), DataError("a\nb: wrong")])
def test_programs_print_errors_in_one_line(problem, capsys):
    @command
    def main(arguments):
        raise problem

    assert main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "Traceback" not in line
