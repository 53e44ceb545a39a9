"""Test that annotations which would crash or spoil a training raise errors with the file, the field and the ids."""

import json
import logging
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from seesaw_d2.data import read_annotations
from seesaw_d2.data.boxes_and_masks.run_lengths import count_pixels, decompress, valid_masks
from seesaw_d2.errors import DataError
from tests.data.toy import HEIGHT, WIDTH, toy_data, write

FAR = 10 * WIDTH


def polygon(coordinate: str) -> dict[str, str]:
    return {"segmentation": f"[[5, 5, 20, 5, {coordinate}, 20]]"}


BROKEN = {
    "far": (polygon("1e300"), r'"segmentation": .*10 times.* found .*ids 100'),
    "infinite": (polygon("1e400"), r'"segmentation": .*10 times.* ids 100'),
    "negative": (polygon(str(-FAR - 1)), r'"segmentation": .*10 times.* ids 100'),
    "400 digits": (polygon("1" * 400), r'"segmentation": .*10 times.* ids 100'),
    "5000 digits": (polygon("1" * 5000), r".*4300 digits"),
    "null coordinate": (polygon("null"), r'"segmentation": .*polygons.* ids 100'),
    "far box": ({"bbox": "[5, 5, 1e300, 15]"}, r'"bbox": .*found \[5, 5, 1e\+300.* ids 100'),
    "box of 400 digits": ({"bbox": f"[5, {'1' * 400}, 5, 15]"}, r'"bbox": .*found .{,120} ids 100\)$'),
    "area true": ({"area": "true"}, r'"area" in "annotations": .*found True \(ids 100'),
    "area a string": ({"area": '"225"'}, r'"area" .*found \'225\' \(ids 100'),
    "area a list": ({"area": "[225]"}, r'"area" .*ids 100'),
    "area infinite": ({"area": "1e400"}, r'"area" .*found inf \(ids 100'),
    "area of 400 digits": ({"area": "1" * 400}, r'"area" .*ids 100'),
    "crowd a string": ({"iscrowd": '"1"'}, r'"iscrowd" in "annotations": .*found \'1\' \(ids 100'),
    "crowd two": ({"iscrowd": "2"}, r'"iscrowd" .*found 2 \(ids 100'),
    "crowd null": ({"iscrowd": "null"}, r'"iscrowd" .*ids 100'),
    "crowd a list": ({"iscrowd": "[1]"}, r'"iscrowd" .*ids 100'),
}


def with_fields(data: dict, fields: dict[str, str]) -> str:
    """Return the data as JSON, with fields of annotation 100 replaced by any JSON text."""
    for key in fields:
        data["annotations"][0][key] = f"<{key}>"
    text = json.dumps(data)
    for key, value in fields.items():
        text = text.replace(f'"<{key}>"', value)
    return text


@pytest.mark.parametrize(("fields", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_annotation(tmp_path, fields, message):
    path = write(tmp_path, with_fields(toy_data(), fields))
    with pytest.raises(DataError, match=message) as error:
        read_annotations(path)
    assert str(error.value).startswith(path)


def test_what_may_be(tmp_path):
    """Test valid contents: polygons beyond the border, flags as booleans, no area."""
    fields = {**polygon(str(FAR)), "iscrowd": "false", "bbox": f"[-{FAR}, 5, {FAR}, 5]", "area": "1e9"}
    data = toy_data()
    del data["annotations"][1]["area"]
    assert len(read_annotations(write(tmp_path, with_fields(data, fields))).annotations) == len(data["annotations"])


@pytest.mark.parametrize("field", ["neg_category_ids", "not_exhaustive_category_ids"])
def test_lists_of_category_ids(tmp_path, caplog, field):
    data = toy_data()
    for bad in ([[1]], [{}], ["x"], [3, None], [3.0]):
        data["images"][1][field] = bad
        with pytest.raises(DataError, match=rf'"{field}": .* 11\)$'):
            read_annotations(write(tmp_path, data), "lvis")
    data["images"][1][field] = [3, 8, 9]
    with caplog.at_level(logging.WARNING):
        read_annotations(write(tmp_path, data), "lvis")
    assert re.search(rf'"{field}".*"categories": 8, 9', caplog.text)


@pytest.mark.parametrize(
    "counts",
    ["garbage!!", "", "é", "P", "o" * 30, "1" * 9, [], [HEIGHT * WIDTH - 1], [-1, HEIGHT * WIDTH + 1], [2400.0], None],
)
def test_wrong_runs(tmp_path, counts):
    data = toy_data()
    data["annotations"][0] |= {"segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}, "iscrowd": 1}
    with pytest.raises(DataError, match=r'"segmentation": .*found .* ids 100'):
        read_annotations(write(tmp_path, data))


def test_right_runs():
    """Test that decompressed run lengths equal the run lengths of random masks."""
    rng = np.random.default_rng(0)
    texts, totals = [], []
    for shape, density in (((1, 1), 1.0), ((37, 53), 0.5), ((37, 53), 0.0), ((37, 53), 1.0), ((900, 1000), 1e-4)):
        mask = np.asfortranarray(rng.random(shape) < density, dtype=np.uint8)
        text = mask_utils.encode(mask)["counts"].decode()
        runs = decompress(text)
        texts.append(text.encode())
        totals.append(mask.size)
        assert (np.repeat(np.arange(len(runs)) % 2, runs) == mask.flatten(order="F")).all()
        masks = [{"size": list(shape), "counts": counts} for counts in (text, runs.tolist(), text)]
        assert valid_masks(masks, [list(shape), list(shape), [shape[0], shape[1] + 1]]).tolist() == [True, True, False]
    assert count_pixels(texts).tolist() == totals
    # The last character of b"P" announces another character.
    assert count_pixels([texts[1], b"P", texts[2], b"", b"T3"]).tolist() == [totals[1], -1, totals[2], -1, 100]


def compressed(runs):
    """Encode run lengths as COCO's compressed string, literally as ``rleToString`` in pycocotools does."""
    text = b""
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            digit = value & 31
            value >>= 5
            more = value != (-1 if digit & 16 else 0)
            text += bytes([48 + digit + 32 * more])
    return text


@given(st.lists(st.lists(st.integers(-3, 2000), min_size=1, max_size=9), min_size=1, max_size=6))
def test_sums_of_run_lengths(masks):
    """Test strings that are decoded together, with and without negative run lengths, against their integers."""
    texts = [compressed(runs) for runs in masks]
    for text, runs in zip(texts, masks, strict=True):
        assert decompress(text.decode()).tolist() == runs
    expected = [-1 if min(runs) < 0 else sum(runs) for runs in masks]
    assert count_pixels(texts).tolist() == expected
    invalid = [b"o", *texts]  # one invalid string: the other ones are still summed
    assert count_pixels(invalid).tolist() == [-1, *expected]
