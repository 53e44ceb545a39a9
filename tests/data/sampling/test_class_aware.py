"""Test class-aware sampling: the sampled images, their frequencies, and several processes."""

import itertools

import numpy as np
import pytest
from detectron2.utils import comm

from seesaw_d2.data import (
    ClassAwareSampler,
    ProgressivelyBalancedSampler,
    SquareRootSampler,
    build_train_loader,
    load_training_dicts,
    register_datasets,
)
from seesaw_d2.data.sampling.repeat_factors import epoch_length, validate_sampling
from seesaw_d2.errors import ConfigError, DataError
from tests.data.toy import entry, make_cfg, toy_data, write, write_images

# Categories of the objects in each image. Category 4 is frequent, 9 occurs once, 2 only as a crowd. Image 3 is empty.
IMAGES = [[4, 4, 4], [4, 7], [4], [], [9, 4, 7, 7], [4], [2]]


def records():
    return [{"annotations": [{"category_id": c, "iscrowd": int(c == 2)} for c in image]} for image in IMAGES]


def draw(sampler, count) -> list[int]:
    return list(itertools.islice(sampler, count))


def test_the_distribution():
    """Test P(image) = 1/K Σ 1/n_c over the categories of the image, within 5 standard deviations of 60,000 draws."""
    draws, count = 60_000, {4: 5, 7: 2, 9: 1}
    expected = np.array([sum(1 / 3 / count[c] for c in set(image) & set(count)) for image in IMAGES])
    assert expected.sum() == pytest.approx(1)
    found = np.bincount(draw(ClassAwareSampler(records(), seed=3), draws), minlength=len(IMAGES)) / draws
    assert (np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / draws)).all()
    # This excludes the uniform distribution and a distribution over objects.
    assert abs(expected[4] - 1 / 5) > 0.3
    assert found[3] == found[6] == 0


def test_the_seed_decides():
    first, again, other = (draw(ClassAwareSampler(records(), seed=seed), 3000) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_processes_share_one_stream(monkeypatch):
    whole = draw(ClassAwareSampler(records(), seed=5), 3000)
    monkeypatch.setattr(comm, "get_world_size", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        assert draw(ClassAwareSampler(records(), seed=5), 1000) == whole[rank::3]


def test_nothing_to_draw():
    with pytest.raises(DataError, match="images with objects"):
        ClassAwareSampler([{"annotations": []}, {}])


def test_by_config(tmp_path):
    """Test the config key. Category 3 occurs in four images, category 7 in one image, which gets 5 of 8 draws."""
    data = toy_data()
    data["annotations"] = [a for a in data["annotations"] if a["category_id"] == 3 or a["image_id"] == 12]
    images = write_images(tmp_path / "images", data)
    options = {"DATALOADER__SAMPLER_TRAIN": "ClassAwareSampler", "DATALOADER__ASPECT_RATIO_GROUPING": False}
    cfg = make_cfg(entry("class_aware", write(tmp_path, data), images), train=["class_aware"], **options)
    validate_sampling(cfg)
    register_datasets(cfg)
    assert epoch_length(cfg, load_training_dicts(cfg)) == 4
    batches = itertools.islice(iter(build_train_loader(cfg)), 150)
    found = [sample["image_id"] for batch in batches for sample in batch]
    assert len(found) == 300
    assert found.count(12) / 300 == pytest.approx(5 / 8, abs=5 * (15 / 64 / 300) ** 0.5)


def test_misspelt_sampler():
    cfg = make_cfg(DATALOADER__SAMPLER_TRAIN="ClassAwareSampling")
    with pytest.raises(ConfigError, match=r"SAMPLER_TRAIN: .*ClassAwareSampler, .*found 'ClassAwareSampling'"):
        validate_sampling(cfg)


def single_label(counts):
    return [{"annotations": [{"category_id": c}]} for c, count in enumerate(counts) for _ in range(count)]


def category_shares(sampler, records, start, stop):
    chosen = [records[i]["annotations"][0]["category_id"] for i in itertools.islice(iter(sampler), start, stop)]
    return np.bincount(chosen, minlength=3) / len(chosen)


def test_square_root_sampling():
    records = single_label([400, 100, 4])
    shares = category_shares(SquareRootSampler(records, seed=0), records, 0, 40_000)
    assert shares == pytest.approx(np.array([20, 10, 2]) / 32, abs=0.01)


def test_progressively_balanced_sampling():
    """Test equation 2 of Kang et al. at the beginning, in the middle and at the end of a training."""
    records = single_label([80, 15, 5])
    sampler = ProgressivelyBalancedSampler(records, length=1_024_000, seed=0)
    by_image, balanced = np.array([0.8, 0.15, 0.05]), np.full(3, 1 / 3)
    for start, progress in ((0, 0.01), (500_000, 0.5), (1_100_000, 1.0)):
        shares = category_shares(sampler, records, start, start + 20_480)
        assert shares == pytest.approx((1 - progress) * by_image + progress * balanced, abs=0.015)
