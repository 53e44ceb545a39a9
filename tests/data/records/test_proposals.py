"""Test that precomputed proposals are read as in Detectron2, but without running code in the file."""

import pickle

import numpy as np
import pytest
from detectron2.structures import BoxMode

from seesaw_d2.data.records.proposals import load_proposals
from seesaw_d2.errors import DataError

BOXES = np.array([[0, 0, 4, 4], [1, 1, 2, 2]], np.float32)
SCORES = np.array([0.1, 0.9], np.float32)
CONTENT = {"ids": [7], "boxes": [BOXES], "objectness_logits": [SCORES], "bbox_mode": BoxMode.XYWH_ABS}


@pytest.mark.parametrize("protocol", [2, 5])
def test_the_records_get_their_proposals_best_first(tmp_path, protocol):
    path = tmp_path / "proposals.pkl"
    path.write_bytes(pickle.dumps(CONTENT, protocol))
    (record,) = load_proposals([{"image_id": 7}], str(path))
    np.testing.assert_array_equal(record["proposal_boxes"], BOXES[::-1])
    np.testing.assert_array_equal(record["proposal_objectness_logits"], SCORES[::-1])
    assert record["proposal_bbox_mode"] is BoxMode.XYWH_ABS
    with pytest.raises(DataError, match=r"proposals\.pkl: .*objectness_logits"):
        load_proposals([{"image_id": 8}], str(path))


def test_what_a_file_says_of_a_types_memory_is_not_believed(tmp_path):
    """Test an array whose dtype claims that its numbers are references. Freeing the array would follow the numbers."""
    content = pickle.dumps(CONTENT, 2)
    plain, claims = b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq", b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftq"
    assert plain in content  # the end of a dtype's state: its flags are 0
    path = tmp_path / "proposals.pkl"
    path.write_bytes(content.replace(plain, claims))
    (record,) = load_proposals([{"image_id": 7}], str(path))
    np.testing.assert_array_equal(record["proposal_boxes"], BOXES[::-1])
    assert not record["proposal_boxes"].dtype.hasobject
