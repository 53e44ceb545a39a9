"""Test the planned category frequencies and capacities of the glyph dataset, without drawing images."""

import numpy as np
import pytest

from seesaw_d2.data.synthetic import GlyphConfig, plain_glyphs
from seesaw_d2.data.synthetic.alphabet import ALPHABETS
from seesaw_d2.data.synthetic.plan import frequency, plan_split, train_image_counts
from seesaw_d2.errors import ConfigError


def groups(config):
    letters = [frequency(count) for count in train_image_counts(config)]
    return {letter: letters.count(letter) for letter in "rcf"}


def image_index(plan):
    return np.repeat(np.arange(plan.num_images), np.diff(plan.offsets))


def test_default_frequencies_are_those_of_the_recipe():
    images = GlyphConfig().category_images()
    assert len(images) == 108
    assert images[[0, -1]].tolist() == [600, 3]
    assert images.sum() == 11835
    assert groups(GlyphConfig()) == {"r": 29, "c": 44, "f": 35}


def test_frequencies_of_the_plain_glyphs():
    config = plain_glyphs()
    expected = [max(3, round(600 * np.exp(-0.14 * rank))) for rank in range(40)]
    assert config.category_images().tolist() == expected
    assert sum(expected) == 4577
    assert groups(config) == {"r": 11, "c": 16, "f": 13}
    assert plain_glyphs(decay=0.14).category_images().tolist() == expected


def test_thresholds_are_those_of_lvis():
    assert [frequency(count) for count in (1, 10, 11, 100, 101)] == ["r", "r", "c", "c", "f"]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("settings", [GlyphConfig, plain_glyphs])
def test_default_plan_has_every_category_as_often_as_wanted(settings, seed):
    config = settings(seed=seed)
    train, val = plan_split(config, "train"), plan_split(config, "val")
    assert (np.bincount(train.categories, minlength=1) == train_image_counts(config)).all()
    assert np.bincount(val.categories).tolist() == [25] * config.num_categories
    for plan in (train, val):
        objects = np.diff(plan.offsets)
        assert objects.min() >= 1
        assert objects.max() <= config.max_objects
        pairs = np.stack([image_index(plan), plan.categories])
        assert np.unique(pairs, axis=1).shape == pairs.shape  # no category twice on an image


def test_rank_of_a_glyph_is_random():
    first, second = (train_image_counts(GlyphConfig(seed=seed)) for seed in (0, 1))
    assert sorted(first) == sorted(second)
    assert (first != second).any()


def test_images_filled_to_the_last_place():
    config = GlyphConfig(
        num_categories=12, num_train_images=10, num_val_images=10, max_objects=6, decay=0.0,
        max_category_images=5, val_instances_per_category=5,
    )  # fmt: skip
    for split in ("train", "val"):
        assert (np.diff(plan_split(config, split).offsets) == 6).all()


def test_as_many_categories_as_lvis():
    config = GlyphConfig(num_categories=1203, num_train_images=22_000, num_val_images=6000)
    shares = np.array(list(groups(config).values())) / 1203
    assert shares == pytest.approx([0.28, 0.40, 0.32], abs=0.02)  # LVIS v1: 0.28, 0.38, 0.34
    plan = plan_split(config, "val")
    assert (np.bincount(plan.categories, minlength=1203) == 25).all()


@pytest.mark.parametrize(("alphabet", "count"), [("similar", 108), ("plain", 40)])
def test_alphabet(alphabet, count):
    letters = ALPHABETS[alphabet]
    texts = [letters.text(index) for index in range(letters.max_categories)]
    names = [letters.name(text) for text in texts]
    assert "".join(texts[:count]) == letters.characters
    assert all(len(text) == 2 for text in texts[count:])
    assert len(set(texts)) == len(set(names)) == letters.max_categories == count * (count + 1)
    assert all(name.isascii() and name.replace("_", "").isalnum() for name in names)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_categories", 0),
        ("num_categories", 1641),
        ("num_categories", 40.0),
        ("num_train_images", 599),
        ("num_train_images", 762),  # 4577 instances, 6 per image
        ("num_val_images", 24),
        ("num_val_images", 166),
        ("image_size", 63),
        ("max_objects", 0),
        ("max_objects", 26),
        ("seed", -1),
        ("seed", True),
        ("val_instances_per_category", 0),
        ("max_category_images", 2),
        ("min_category_images", 0),
        ("decay", -0.1),
        ("decay", "fast"),
        ("object_size", (0.3, 0.2)),
        ("object_size", (0.4, 0.5)),  # six objects of this size do not fit
        ("object_size", 0.3),
        ("max_neg_categories", -1),
        ("alphabet", "runes"),
        ("alphabet", None),
        ("background", "white"),
    ],
)
def test_bad_setting_is_named(name, value):
    with pytest.raises(ConfigError, match=rf"^{name}: expected .*found") as error:
        plain_glyphs(**{name: value})
    if not name.startswith("num_"):
        assert repr(value) in str(error.value)
