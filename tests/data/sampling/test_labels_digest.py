"""Test that resuming detects changed categories, crowds and boxes of the same images."""

import copy

import pytest

from seesaw_d2.data.sampling.epoch_samplers import UniformStream
from seesaw_d2.data.sampling.train_loader import TrainLoader, labels_digest

RECORDS = [
    {"image_id": i, "annotations": [{"category_id": c, "bbox": [c, 1, 5, 6]} for c in range(i)]} for i in range(4)
]


def changed(change):
    records = copy.deepcopy(RECORDS)
    change(records)
    return records


CHANGES = {
    "category": lambda records: records[3]["annotations"][1].update(category_id=2),
    "swapped": lambda records: records[3]["annotations"].reverse(),
    "crowd": lambda records: records[1]["annotations"][0].update(iscrowd=1),
    "box": lambda records: records[2]["annotations"][1].update(bbox=[1, 1, 5, 6.5]),
    "removed": lambda records: records[3]["annotations"].pop(),
    "moved to another image": lambda records: records[0]["annotations"].append(records[1]["annotations"].pop()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found(name):
    assert labels_digest(changed(CHANGES[name])) != labels_digest(RECORDS)


def test_equal_labels_have_equal_digests():
    same = changed(lambda records: records[2]["annotations"][1].update(bbox=(1.0, 1.0, 5.0, 6.0), iscrowd=0))
    assert labels_digest(same) == labels_digest(RECORDS)
    assert labels_digest([]) == labels_digest([])
    assert labels_digest([{"file_name": "of a set without boxes"}, {"annotations": [{"category_id": 1}]}])


def test_a_state_without_the_digest_still_fits():
    loader = TrainLoader([{}], None, UniformStream(1, seed=0), batch_size=1, labels="abc")
    state = loader.state_dict()
    assert loader.differences(state) == []
    assert loader.differences({key: value for key, value in state.items() if key != "labels"}) == []
    (line,) = loader.differences({**state, "labels": "xyz"})
    assert "xyz before, abc now" in line
