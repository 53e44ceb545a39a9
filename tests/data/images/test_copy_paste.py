"""Test Copy-Paste in training: consistent pixels, masks and boxes, the frequency of pasted objects, and resuming."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks
from pycocotools import mask as mask_utils

from seesaw_d2.data import build_train_loader, load_training_dicts, register_datasets
from seesaw_d2.data.images.copy_paste import CopyPasteMapper
from seesaw_d2.data.sampling.rare_objects import RareObjects, validate_copy_paste
from seesaw_d2.data.sampling.seeding import seeded
from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.train import load_config
from seesaw_d2.train.tasks.detection import validate
from tests.data.images.test_paste import inputs, ring
from tests.data.toy import HEIGHT, WIDTH, entry, make_cfg, square, toy_data, write, write_images

RARE = 0  # contiguous id of category 3


def data(num_images=12):
    """Return data with category 7 in every image, and with the rare category 3 and its crowd in the first image."""
    result = toy_data(num_images)
    rare = [each for each in result["annotations"] if each["category_id"] == 3 and each["image_id"] == 10]
    result["annotations"] = [each for each in result["annotations"] if each["category_id"] == 7] + rare
    runs = mask_utils.frPyObjects({"size": [HEIGHT, WIDTH], "counts": [400, 30, HEIGHT * WIDTH - 430]}, HEIGHT, WIDTH)
    runs = {"size": runs["size"], "counts": runs["counts"].decode()}
    crowd = {"id": 900, "image_id": 10, "category_id": 3, **square(1, 1, 5), "segmentation": runs, "iscrowd": 1}
    rare[-1] |= {"segmentation": runs, "bbox": [10, 0, 1, 30], "area": 30}
    result["annotations"].insert(0, crowd)
    return result


@pytest.fixture
def toy(tmp_path, request):
    def make(content=None, **options):
        name = f"copy_paste_{tmp_path.name}_{len(list(tmp_path.iterdir()))}"
        content = content or data()
        write_images(tmp_path / "images", content)
        options = {
            "INPUT__COPY_PASTE__ENABLED": True,
            "INPUT__COPY_PASTE__THRESHOLD": 3.0,
            "INPUT__MASK_FORMAT": "bitmask",
            "DATALOADER__ASPECT_RATIO_GROUPING": False,
            "SEED": 3,
            **options,
        }
        cfg = make_cfg(
            entry(name, write(tmp_path, content, f"{name}.json"), tmp_path / "images"), train=[name], **options
        )
        register_datasets(cfg)
        return cfg

    return make


def test_rare_objects_are_drawn_by_repeat_factor(toy):
    """Test the number of copies: r = 6 and r = sqrt(3) give 2 · 5 + 12 · 0.73 copies for 12 images."""
    records = load_training_dicts(toy())
    objects = RareObjects(records, 3.0)
    expected = {True: 2 * 5 / 12, False: np.sqrt(3) - 1}
    assert objects.mean == pytest.approx(sum(expected.values()))
    drawn = Counter()
    with seeded(0):
        for _ in range(4000):
            for index, position in objects.draw():
                found = records[index]["annotations"][position]
                assert not found.get("iscrowd")
                drawn[found["category_id"] == RARE] += 1
    for is_rare, mean in expected.items():
        assert drawn[is_rare] / 4000 == pytest.approx(mean, rel=0.08)


def contents(samples):
    return [
        (each["image"].sum().item(), each["instances"].gt_classes.tolist(), each["instances"].gt_boxes.tensor.tolist())
        for each in samples
    ]


def stream(loader, count=4):
    return contents(itertools.chain.from_iterable(itertools.islice(iter(loader), count)))


REPEATED = {"DATALOADER__SAMPLER_TRAIN": "RepeatFactorTrainingSampler", "DATALOADER__REPEAT_THRESHOLD": 2.0}


@pytest.mark.parametrize("options", [{}, REPEATED, {**REPEATED, "DATALOADER__REPEAT_FREQUENCY": "instances"}])
def test_the_loader_pastes_and_resumes(toy, options):
    """Test that images have more objects, and are equal for any number of workers and after resuming."""
    cfg = toy(**options)
    plain = build_train_loader(toy(INPUT__COPY_PASTE__ENABLED=False, **options))
    loader, again = build_train_loader(cfg), build_train_loader(cfg, num_workers=2)
    found = stream(loader)
    assert sum(len(classes) for _, classes, _ in found) > sum(len(classes) for _, classes, _ in stream(plain))
    assert stream(again) == found
    resumed = build_train_loader(cfg)
    resumed.load_state_dict({**resumed.state_dict(), "images": 2 * cfg.SOLVER.IMS_PER_BATCH})
    assert stream(resumed, 2) == found[2 * cfg.SOLVER.IMS_PER_BATCH :]


def run_lengths(annotation, compressed):
    runs = mask_utils.frPyObjects(annotation["segmentation"], HEIGHT, WIDTH)
    mask = mask_utils.decode(mask_utils.merge(runs))
    if compressed:
        found = mask_utils.encode(np.asfortranarray(mask))
        return {"size": found["size"], "counts": found["counts"].decode()}
    flat = mask.flatten(order="F")
    lengths = [len(list(group)) for _, group in itertools.groupby(flat.tolist())]
    return {"size": [HEIGHT, WIDTH], "counts": lengths if flat[0] == 0 else [0, *lengths]}


@pytest.mark.parametrize("kind", ["polygons", "compressed", "uncompressed"])
def test_masks_and_boxes_of_any_format(toy, kind, monkeypatch):
    """Paste two objects. Test that all other masks lose the covered pixels, and that boxes fit the remaining masks."""
    content = toy_data(6)
    if kind != "polygons":
        content["annotations"] = [
            {**each, "segmentation": run_lengths(each, kind == "compressed")} for each in content["annotations"]
        ]
    monkeypatch.setattr(RareObjects, "draw", lambda _: [(0, 0), (1, 0)])
    plain, pasted = (
        itertools.chain.from_iterable(itertools.islice(build_train_loader(toy(content, **options)), 4))
        for options in ({"INPUT__COPY_PASTE__ENABLED": False, "MODEL__MASK_ON": True}, {"MODEL__MASK_ON": True})
    )
    covered = 0
    for before, after in zip(plain, pasted, strict=True):
        masks = after["instances"].gt_masks.tensor
        cover = masks[-2:].any(dim=0)
        old = before["instances"].gt_masks.tensor
        assert old.shape[1:] == masks.shape[1:]
        left = old & ~cover
        kept = left.flatten(1).any(dim=1)
        assert torch.equal(masks[:-2], left[kept])
        assert torch.equal(after["image"][:, ~cover], before["image"][:, ~cover])
        changed = (left != old).flatten(1).any(dim=1)[kept]
        boxes = after["instances"].gt_boxes.tensor[:-2]
        assert torch.equal(boxes[~changed], before["instances"].gt_boxes.tensor[kept][~changed])
        assert torch.equal(boxes[changed], BitMasks(masks[:-2][changed]).get_bounding_boxes().tensor)
        covered += int(changed.sum()) + int((~kept).sum())
    assert covered > 0


def test_another_seed_pastes_others(toy):
    assert stream(build_train_loader(toy(SEED=1))) != stream(build_train_loader(toy(SEED=2)))


def test_a_replaced_image_gives_no_object():
    """Test that no object is pasted from an image that replaces an unreadable image."""

    class Objects:
        def draw(self):
            return [(0, 0)]

    source = inputs([ring()], [5], 200)
    mapper = CopyPasteMapper(
        lambda record: {**source, "image_id": 7}, [{"image_id": 9, "annotations": [{}]}], Objects()
    )
    assert len(mapper({"image_id": 7})["instances"]) == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"INPUT__COPY_PASTE__THRESHOLD": 0.0}, r"INPUT\.COPY_PASTE\.THRESHOLD: .*0\.0"),
        ({"INPUT__COPY_PASTE__THRESHOLD": 1e-6}, r"INPUT\.COPY_PASTE\.THRESHOLD .*1e-06"),
        ({"INPUT__MASK_FORMAT": "polygon"}, r"INPUT\.MASK_FORMAT: .*polygon"),
        ({"MODEL__MASK_ON": False}, r"MODEL\.MASK_ON: .*False"),
        ({"MODEL__LOAD_PROPOSALS": True}, r"MODEL\.LOAD_PROPOSALS: .*True"),
        ({"MODEL__META_ARCHITECTURE": "PanopticFPN"}, r"INPUT\.COPY_PASTE\.ENABLED: .*PanopticFPN"),
    ],
)
def test_what_cannot_work_is_refused_before_training(toy, options, named):
    content = data()
    del content["annotations"][0]  # remove the crowd, whose run lengths are not tested here
    cfg = toy(content, MODEL__ROI_HEADS__NUM_CLASSES=2, **options)

    def check():
        validate_copy_paste(cfg)
        validate(cfg)

    with pytest.raises(ConfigError, match=named):
        check()


def test_a_data_set_without_masks_is_refused(toy):
    content = toy_data(4)
    for each in content["annotations"]:
        each["segmentation"] = []
    cfg = toy(content, MODEL__ROI_HEADS__NUM_CLASSES=2)
    with pytest.raises(SeesawError, match=cfg.DATASETS.TRAIN[0]):
        validate(cfg)


def test_off_by_default():
    assert not load_config().INPUT.COPY_PASTE.ENABLED
