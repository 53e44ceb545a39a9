"""Test that damaged exported files raise errors with the file name, and that files without a checksum are accepted."""

import random
import re

import numpy as np
import pytest

from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.export import ExportedModel
from seesaw_d2.export.checksums import with_checksum
from tests.robustness.mutation.media_formats import FORMATS

WRITERS = {form.name: form.write for form in FORMATS if form.name in ("torchscript", "onnx")}
IMAGE = np.arange(192, dtype=np.uint8).reshape(3, 8, 8)


@pytest.fixture(params=WRITERS)
def exported(request, tmp_path):
    """Return an exported file without a checksum, as earlier versions wrote it."""
    WRITERS[request.param](tmp_path)
    (path,) = tmp_path.iterdir()
    return path


def run(path):
    return ExportedModel(path, threads=1)(IMAGE)["scores"]


def test_damage_is_found(exported):
    expected, rng = run(exported), random.Random(0)
    content = with_checksum(exported.read_bytes())
    exported.write_bytes(content)
    assert np.array_equal(run(exported), expected)
    refused = 0
    for number in range(80):
        changed = bytearray(content)
        if number % 4:
            changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        else:
            del changed[rng.randrange(len(content)) :]
        exported.write_bytes(changed)
        message = None
        try:
            found = run(exported)
        except WeightsError as error:
            message = str(error)
        if message is None:
            assert np.array_equal(found, expected)  # only the checksum is damaged
        else:
            refused += 1
            assert str(exported) in message
            assert "\n" not in message
    assert refused > 65


@pytest.mark.parametrize("threads", [0, -1, 2.5, "2", 2**40])
def test_a_wrong_number_of_threads(exported, threads):
    with pytest.raises(ConfigError, match=f"^threads: .*{threads}"):
        ExportedModel(exported, threads=threads)


def test_a_model_that_cannot_be_run(exported):
    model = ExportedModel(exported, threads=1)
    model._run = lambda image: [][0]
    with pytest.raises(WeightsError, match=re.escape(str(exported))):
        model(IMAGE)
