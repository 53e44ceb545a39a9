"""Test that order, batches and augmentation of images depend only on the seed and the position in the training."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest
import torch
from detectron2.data.samplers import RandomSubsetTrainingSampler, RepeatFactorTrainingSampler, TrainingSampler

from seesaw_d2.data import build_train_loader, register_datasets
from seesaw_d2.data.sampling.batch_composition import BatchPlan
from seesaw_d2.data.sampling.class_aware import ClassAwareSampler, ProgressivelyBalancedSampler, SquareRootSampler
from seesaw_d2.data.sampling.epoch_samplers import RepeatFactorStream, SubsetStream, UniformStream
from seesaw_d2.data.sampling.seeding import mixed_seed, seeded
from seesaw_d2.data.sampling.train_loader import TrainLoader
from seesaw_d2.errors import DataError
from tests.data.toy import entry, make_cfg, toy_data, write, write_images

RECORDS = [
    {"file_name": f"{i}.jpg", "image_id": i, "annotations": [{"category_id": i % 5 if i % 2 else 0}]} for i in range(24)
]
FACTORS = torch.linspace(1, 3, 24)
STREAMS = {
    "uniform": lambda seed: UniformStream(24, seed=seed),
    "repeated": lambda seed: RepeatFactorStream(FACTORS, seed=seed),
    "subset": lambda seed: SubsetStream(24, 0.5, seed_shuffle=seed, seed_subset=seed),
    "class aware": lambda seed: ClassAwareSampler(RECORDS, seed=seed),
    "square root": lambda seed: SquareRootSampler(RECORDS, seed=seed),
    "progressive": lambda seed: ProgressivelyBalancedSampler(RECORDS, length=5000, seed=seed),
}


def take(iterable, count, start=0):
    return list(itertools.islice(iterable, start, start + count))


def draw(record):
    """Return a random number from each random generator that augmentations use."""
    return record["image_id"], random.random(), float(np.random.rand()), torch.rand(()).item()  # noqa: NPY002


def loader(stream="repeated", seed=1, batch_size=4, mapper=draw, **options):
    return TrainLoader(RECORDS, mapper, STREAMS[stream](seed), batch_size=batch_size, **options)


@pytest.mark.parametrize("name", STREAMS)
def test_an_epoch_is_a_function_of_seed_and_number(name):
    first, again, other = (STREAMS[name](seed) for seed in (1, 1, 2))
    third = first.epoch(3).tolist()
    assert again.epoch(0).tolist() != again.epoch(1).tolist()
    assert again.epoch(3).tolist() == third  # epoch 3 is the same after other epochs and without them
    assert other.epoch(3).tolist() != third
    other.seed = 1
    assert other.epoch(3).tolist() == third
    epochs = itertools.chain.from_iterable(first.epoch(number).tolist() for number in range(4))
    assert take(first, 48) == take(epochs, 48)


def test_they_are_detectron2s():
    for name, kind in (
        ("uniform", TrainingSampler),
        ("repeated", RepeatFactorTrainingSampler),
        ("subset", RandomSubsetTrainingSampler),
    ):
        assert isinstance(STREAMS[name](0), kind)
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    ours, theirs = RepeatFactorStream(FACTORS, seed=0), RepeatFactorTrainingSampler(FACTORS, seed=0)
    for _ in range(3):
        assert torch.equal(*(each._get_epoch_indices(g) for each, g in zip((ours, theirs), generators, strict=True)))


def test_repeat_factors_are_rounded_anew_in_every_epoch():
    stream = STREAMS["repeated"](3)
    counts = np.stack([np.bincount(stream.epoch(number).numpy(), minlength=24) for number in range(400)])
    assert ((counts >= FACTORS.floor().numpy()) & (counts <= FACTORS.ceil().numpy())).all()
    assert counts.mean(axis=0) == pytest.approx(FACTORS.numpy(), abs=5 * 0.5 / 20)


def test_the_subset_is_the_same_in_every_epoch():
    stream = STREAMS["subset"](3)
    assert {frozenset(stream.epoch(number).tolist()) for number in range(5)} == {frozenset(stream.epoch(0).tolist())}
    assert len(set(stream.epoch(0).tolist())) == 12


@pytest.mark.parametrize("batch_size", [3, 16])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", ["uniform", "repeated", "class aware"])
def test_the_plan_is_the_literal_one(name, grouped, batch_size):
    """Compare batches with Detectron2's AspectRatioGroupedDataset, which reads image by image, from any start."""
    groups = (np.arange(24) % 3 == 0).astype(int) if grouped else None
    waiting, expected = {}, []
    for place, index in enumerate(take(STREAMS[name](1), 900)):
        bucket = waiting.setdefault(groups[index] if grouped else 0, [])
        bucket.append((index, place))
        if len(bucket) == batch_size:
            expected.append(bucket[:])
            bucket.clear()
    plan = BatchPlan(STREAMS[name](1), batch_size, groups)
    count = len(expected)
    assert count > 40
    for start in (0, 1, 7, count - 1):
        found = take(plan.batches(start), count - start)
        assert [list(zip(*map(np.ndarray.tolist, batch), strict=True)) for batch in found] == expected[start:]


def test_entering_late_takes_seconds():
    """Test that the last of 180,000 batches of 16 images of LVIS is available within seconds."""
    stream = RepeatFactorStream(torch.full((99388,), 1.14), seed=0)
    plan = BatchPlan(stream, 16, np.arange(99388) % 2)
    places = next(plan.batches(179_999))[1]
    assert 180_000 * 16 - 32 <= places[-1] < 180_000 * 16 + 32


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_can_begin_anywhere(workers):
    whole = take(loader(), 9)
    assert len({sample for batch in whole for sample in batch}) == 36
    interrupted = loader(num_workers=workers)
    assert interrupted.num_images == 0
    assert take(interrupted, 5) == whole[:5]
    resumed = loader(seed=99, num_workers=workers)
    resumed.load_state_dict(interrupted.state_dict())
    assert resumed.seed == 1
    assert take(resumed, 4) == whole[5:]
    assert resumed.num_images == 36


def test_nothing_is_read_before_the_first_batch_nor_thrown_away():
    read = []
    late = loader(mapper=lambda record: read.append(record["image_id"]))
    late.mapper = lambda record: read.append(record["image_id"]) or record["image_id"]
    late.load_state_dict({"seed": 1, "images": 4 * 100_000})
    batches = iter(late)
    assert read == []
    assert next(batches) == read
    assert len(read) == 4


def test_processes_share_each_batch(monkeypatch):
    whole = take(loader(), 5)
    monkeypatch.setattr("seesaw_d2.data.sampling.train_loader.world_size", lambda: 2)
    for process in range(2):
        monkeypatch.setattr("seesaw_d2.data.sampling.train_loader.rank", lambda process=process: process)
        assert take(loader(), 5) == [batch[2 * process : 2 * process + 2] for batch in whole]


def test_another_batch_size_goes_on_with_the_next_images():
    places = take(STREAMS["uniform"](1), 48)
    before = loader("uniform", batch_size=4)
    take(before, 6)
    after = loader("uniform", batch_size=8)
    assert after.differences(before.state_dict()) == ["number of images in a batch 4 before, 8 now"]
    after.load_state_dict(before.state_dict())
    assert [sample[0] for batch in take(after, 3) for sample in batch] == places[24:48]


def test_global_generators_are_left_alone():
    for module in (random, np.random, torch):
        getattr(module, "seed" if module is not torch else "manual_seed")(3)
    expected = draw({"image_id": 0})
    for module in (random, np.random, torch):
        getattr(module, "seed" if module is not torch else "manual_seed")(3)
    take(loader(), 2)
    with seeded(5):
        draw({"image_id": 0})
    assert draw({"image_id": 0}) == expected


def test_seeds():
    numbers = [(0,), (1,), (0, 1), (1, 0), (1, 1), (2**31, 7), (7, 2**31)]
    seeds = [mixed_seed(*each) for each in numbers]
    assert seeds == [mixed_seed(*each) for each in numbers]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_mapper_that_returns_nothing():
    """Test a mapper that returns None to skip an image. Another image replaces it, also the same after resuming."""

    def even(record):
        return record["image_id"] if record["image_id"] % 2 == 0 else None

    whole = take(loader(mapper=even), 12)
    assert all(each % 2 == 0 for batch in whole for each in batch)
    late = loader(mapper=even)
    late.load_state_dict({"seed": 1, "images": 20})
    assert take(late, 7) == whole[5:]
    with pytest.raises(DataError, match=r"mapper: .*found None for 100 "):
        next(iter(loader(mapper=lambda record: None)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_image_is_replaced_alike(tmp_path, workers):
    data = toy_data(8)
    images = write_images(tmp_path / "images", data)
    (tmp_path / "images" / "3.jpg").write_bytes(b"no image")
    options = {"DATALOADER__SKIP_BAD_IMAGES": True, "SEED": 4, "DATALOADER__NUM_WORKERS": workers}
    name = f"bad_{workers}"
    cfg = make_cfg(entry(name, write(tmp_path, data), images), train=[name], **options)
    register_datasets(cfg)

    def batches(skipped, count):
        late = build_train_loader(cfg)
        late.num_images = skipped * 2
        return [[(each["image_id"], each["image"].numpy().tobytes()) for each in batch] for batch in take(late, count)]

    whole = batches(0, 12)
    assert 13 not in {image for batch in whole for image, _ in batch}
    assert batches(7, 5) == whole[7:]


def test_aspect_ratios_come_from_the_annotation_file(tmp_path):
    data = toy_data(8)
    for image in data["images"][::2]:
        image["width"], image["height"] = image["height"], image["width"]
    images = write_images(tmp_path / "images", data)
    cfg = make_cfg(entry("ratios", write(tmp_path, data), images), train=["ratios"], SEED=4)
    register_datasets(cfg)
    for batch in take(build_train_loader(cfg), 20):
        assert len({each["width"] > each["height"] for each in batch}) == 1
    counts = Counter(each["image_id"] for batch in take(build_train_loader(cfg), 40) for each in batch)
    assert len(counts) == 8
    with pytest.raises(DataError, match=r"DATALOADER\.ASPECT_RATIO_GROUPING .*width"):
        build_train_loader(cfg, records=[{"file_name": "a", "image_id": 1, "annotations": []}])


def test_a_foreign_sampler_goes_to_detectron2s_loader(tmp_path, caplog):
    data = toy_data()
    images = write_images(tmp_path / "images", data)
    cfg = make_cfg(
        entry("foreign", write(tmp_path, data), images), train=["foreign"], SEED=4, DATALOADER__PIN_MEMORY=True
    )
    register_datasets(cfg)
    with caplog.at_level("WARNING"):
        found = build_train_loader(cfg, sampler=TrainingSampler(4, shuffle=False, seed=0), aspect_ratio_grouping=False)
    assert not isinstance(found, TrainLoader)
    assert "TrainingSampler has no state" in caplog.text
    assert "DATALOADER.PIN_MEMORY has no effect" in caplog.text
    assert [each["image_id"] for batch in take(found, 2) for each in batch] == [10, 11, 12, 13]
