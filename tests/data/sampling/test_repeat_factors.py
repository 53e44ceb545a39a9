"""Test repeat factor sampling: the formula, the roundings, and the sampled images."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from detectron2.data.samplers import RepeatFactorTrainingSampler

from seesaw_d2.data import build_train_loader, frequency_groups, load_training_dicts, register_datasets
from seesaw_d2.data.sampling.analysis import analyze_sampling
from seesaw_d2.data.sampling.epoch_samplers import UniformStream
from seesaw_d2.data.sampling.repeat_factors import (
    build_sampler,
    category_repeat_factors,
    image_repeat_factors,
    validate_sampling,
)
from seesaw_d2.data.sampling.simulated_counts import deal_images, read_category_counts
from seesaw_d2.errors import ConfigError, DataError
from tests.data.toy import entry, make_cfg, toy_data, write, write_images
from tests.shared import shared_path

THRESHOLD = 1e-3
NUM_IMAGES = 20000


def record(*categories):
    return {"annotations": [{"category_id": category} for category in categories]}


@pytest.fixture(scope="module")
def lvis():
    """Return 20,000 images, with a fifth of the images and instances of each LVIS v1 category."""
    _, images, instances = read_category_counts(str(shared_path("data/lvis_v1_train_category_counts.json")))
    images, instances = np.ceil(images / 5).astype(int), np.ceil(instances / 5).astype(int)
    return deal_images(images, np.maximum(images, instances), NUM_IMAGES, NUM_IMAGES - 100)


def test_factors_of_lvis_category_by_category():
    """Compare category factors of LVIS with the formula, and with Detectron2's factors for equal image counts."""
    with open(shared_path("data/lvis_v1_train_category_counts.json")) as file:
        counts = [item["image_count"] for item in json.load(file)]

    def formula(num_images):
        return [max(1, math.sqrt(THRESHOLD / (count / num_images))) for count in counts]

    assert category_repeat_factors(counts, 99388, THRESHOLD).tolist() == pytest.approx(formula(99388), rel=1e-12)
    records = [image for category, count in enumerate(counts) for image in [record(category)] * count]
    firsts = np.cumsum([0, *counts[:-1]])
    found = image_repeat_factors(records, THRESHOLD)[firsts].tolist()
    assert found == pytest.approx(formula(len(records)), rel=1e-6)


def test_factors_are_detectron2s_bit_for_bit(lvis):
    theirs = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(lvis, THRESHOLD)
    assert torch.equal(image_repeat_factors(lvis, THRESHOLD), theirs)
    assert theirs.max() > 1
    nothing = [{"annotations": []}] * 2
    assert torch.equal(image_repeat_factors(nothing, THRESHOLD), torch.ones(2))


def test_factors_of_images(lvis):
    """Test that the factor of an image is the largest factor of its categories, as in Detectron2."""
    counts = analyze_sampling(lvis, 1203, repeat_threshold=THRESHOLD).statistics
    per_category = category_repeat_factors(counts.image_count, NUM_IMAGES, THRESHOLD)
    found = image_repeat_factors(lvis, THRESHOLD)
    for index in range(0, NUM_IMAGES, 7):
        categories = {item["category_id"] for item in lvis[index]["annotations"]}
        assert found[index] == pytest.approx(max((per_category[c] for c in categories), default=1), rel=1e-6)
    assert torch.equal(image_repeat_factors(lvis, THRESHOLD, "ceil"), found.ceil())


def test_instance_aware_factors():
    """Test 7 images with 12 objects: category 1 has 2 images and 4 objects, category 2 one of each, category 3 none."""
    records = [record(0), record(1, 1, 1, 0), record(), record(0, 0), record(1, 2), record(0, 0), record(0)]
    images, instances, t = [5, 2, 1, 0], [7, 4, 1, 0], 1.5
    shares = [math.sqrt(image / 7 * instance / 12) for image, instance in zip(images, instances, strict=True)]
    expected = [max(1, math.sqrt(t / share)) if share else 1 for share in shares]
    found = category_repeat_factors(images, 7, t, frequency="instances", instance_count=np.array(instances))
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    a, b, c, _ = expected
    by_image = image_repeat_factors(records, t, frequency="instances")
    assert by_image.tolist() == pytest.approx([a, max(a, b), 1, a, max(b, c), a, a], rel=1e-6)
    analysis = analyze_sampling(records, 4, repeat_threshold=t, frequency="instances")
    assert analysis.category_factors.tolist() == pytest.approx(expected, rel=1e-12)
    assert analysis.epoch_images["stochastic"] == pytest.approx(by_image.sum().item())


def test_one_object_an_image_makes_no_difference():
    records = [record(int(index % 5 == 0)) for index in range(50)]
    assert torch.equal(image_repeat_factors(records, 0.7, frequency="instances"), image_repeat_factors(records, 0.7))


@pytest.mark.parametrize("rounding", ["stochastic", "ceil"])
def test_an_image_without_objects_keeps_its_place(rounding):
    records = [record(0), record(), record(1), *[record(0)] * 5]
    factors = image_repeat_factors(records, 0.5, rounding)
    assert factors.tolist() == [1, 1, 2, 1, 1, 1, 1, 1]
    drawn = list(itertools.islice(RepeatFactorTrainingSampler(factors, seed=0), 9))
    assert sorted(drawn) == [0, 1, 2, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("rounding", ["stochastic", "ceil"])
def test_groups_are_drawn_at_the_expected_rate(lvis, rounding):
    """Test that each group gets its share of 12,000 draws, within 4 standard deviations."""
    factors = image_repeat_factors(lvis, THRESHOLD, rounding)
    groups = frequency_groups(analyze_sampling(lvis, 1203, repeat_threshold=None).statistics.image_count * 5)
    has_group = np.zeros((NUM_IMAGES, 3), dtype=bool)
    for index, image in enumerate(lvis):
        has_group[index, [groups[item["category_id"]] for item in image["annotations"]]] = True
    draws = 12000
    drawn = np.array(list(itertools.islice(RepeatFactorTrainingSampler(factors, seed=3), draws)))
    for group in range(3):
        expected = float(factors[has_group[:, group]].sum() / factors.sum())
        bound = 4 * math.sqrt(expected * (1 - expected) / draws)
        assert has_group[drawn, group].mean() == pytest.approx(expected, abs=bound)
        if group == 0:  # the rate differs from the rate without repetition
            assert expected - has_group[:, 0].mean() > 2 * bound


def test_dealt_images_have_the_counts():
    images, instances = np.array([1, 3, 40, 7]), np.array([2, 3, 90, 8])
    records = deal_images(images, instances, 50, 45, seed=1)
    counts = analyze_sampling(records, 4, repeat_threshold=None).statistics
    assert (counts.image_count == images).all()
    assert (counts.instance_count == instances).all()
    assert (counts.num_images, counts.num_annotated_images) == (50, 45)


@pytest.mark.parametrize("rounding", ["stochastic", "ceil"])
def test_expected_instances(rounding):
    """Test counts by hand: category 1 is in 1 of 8 images, r = sqrt(0.5 * 8) = 2. Category 2 is in 3, r = 1.1547."""
    records = [record(0, 1, 1), *[record(0, 2)] * 3, *[record(0)] * 3, record()]
    analysis = analyze_sampling(records, 3, repeat_threshold=0.5, groups=np.array([2, 0, 1]))
    repeats = math.sqrt(0.5 * 8 / 3) if rounding == "stochastic" else 2
    assert analysis.category_factors == pytest.approx([1, 2, math.sqrt(0.5 * 8 / 3)])
    assert analysis.epoch_images == {
        "uniform": 8,
        "stochastic": pytest.approx(6 + 3 * math.sqrt(4 / 3)),
        "ceil": 12,
    }
    expected = [2 + 3 * repeats + 3, 4, 3 * repeats]
    assert analysis.epoch_instances[rounding] == pytest.approx(expected)
    assert analysis.group_shares(rounding) == pytest.approx([4, 3 * repeats, expected[0]] / np.sum(expected))
    assert analysis.group_shares("uniform") == pytest.approx([2 / 12, 3 / 12, 7 / 12])
    for sampling in ("uniform", "stochastic", "ceil"):
        assert f"{sampling}: {analysis.epoch_images[sampling]:.0f} images" in analysis.summary(sampling)


def test_no_instances_at_all():
    analysis = analyze_sampling([record(), record()], 2, repeat_threshold=0.5)
    assert analysis.epoch_images == dict.fromkeys(("uniform", "stochastic", "ceil"), 2.0)
    assert analysis.group_shares("ceil").tolist() == [0, 0, 0]


@pytest.fixture
def toy_cfg(tmp_path, request):
    """Return the config of a dataset with 10 images, one of which has category "seven"."""
    data = toy_data(10)
    data["annotations"] = [a for a in data["annotations"] if a["category_id"] == 3 or a["image_id"] == 10]
    images = write_images(tmp_path / "images", data)
    name = f"sampling_{request.node.name}"
    cfg = make_cfg(
        entry(name, write(tmp_path, data), images),
        train=[name],
        DATALOADER__SAMPLER_TRAIN="RepeatFactorTrainingSampler",
        DATALOADER__REPEAT_THRESHOLD=0.15,
        DATALOADER__ASPECT_RATIO_GROUPING=False,
    )
    register_datasets(cfg)
    return cfg


def test_the_loader_draws_by_the_configured_rounding(toy_cfg, caplog):
    """Test the configured rounding. r = sqrt(1.5) = 1.22 is rounded up: the first image occurs twice among 11."""
    toy_cfg.DATALOADER.REPEAT_ROUNDING = "ceil"
    with caplog.at_level("INFO"):
        loader = iter(build_train_loader(toy_cfg))
    drawn = [sample["image_id"] for sample in itertools.chain.from_iterable(next(loader) for _ in range(11))]
    for epoch in (drawn[:11], drawn[11:]):
        assert sorted(epoch) == [10, *range(10, 20)]
    assert "10 images (10 with objects), 12 instances of 2 categories" in caplog.text
    assert "ceil: 11 images per epoch" in caplog.text
    assert "up to 1.22 (threshold 0.15)" in caplog.text


def test_uniform_sampling_never_repeats(toy_cfg, caplog):
    toy_cfg.DATALOADER.SAMPLER_TRAIN = "TrainingSampler"
    toy_cfg.DATALOADER.REPEAT_ROUNDING = "ceil"
    assert type(build_sampler(toy_cfg, load_training_dicts(toy_cfg), seed=0)) is UniformStream
    with caplog.at_level("INFO"):
        loader = iter(build_train_loader(toy_cfg))
    drawn = [sample["image_id"] for sample in itertools.chain.from_iterable(next(loader) for _ in range(5))]
    assert sorted(drawn) == list(range(10, 20))
    assert "uniform: 10 images per epoch" in caplog.text
    assert "repeat factors" not in caplog.text


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("REPEAT_ROUNDING", "up", 'REPEAT_ROUNDING: expected "stochastic" or "ceil", found \'up\''),
        ("REPEAT_FREQUENCY", "objects", r"REPEAT_FREQUENCY: .*objects"),
        ("REPEAT_THRESHOLD", -0.001, r"REPEAT_THRESHOLD: .*-0\.001"),
    ],
)
def test_wrong_values(key, value, message):
    with pytest.raises(ConfigError, match=message):
        validate_sampling(make_cfg(**{f"DATALOADER__{key}": value}))


FRACTION = '[{"name": "a", "image_count": 1.5, "instance_count": 2}]'


@pytest.mark.parametrize(
    "text", ["[1, 2]", "{", '[{"name": "a", "image_count": 3, "instance_count": 2}]', "[]", FRACTION]
)
def test_broken_counts_are_named(tmp_path, text):
    path = tmp_path / "counts.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"counts\.json: "):
        read_category_counts(str(path))
    with pytest.raises(DataError, match=r"nowhere\.json"):
        read_category_counts("nowhere.json")
