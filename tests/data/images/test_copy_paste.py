"""Copy-Paste: pixels, masks and boxes agree, objects occur as often as their repeat factors say, and it resumes."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances
from pycocotools import mask as mask_utils

from seesaw_d2.data import build_train_loader, load_training_dicts, register_datasets
from seesaw_d2.data.images.copy_paste import CopyPasteMapper, paste
from seesaw_d2.data.sampling.rare_objects import RareObjects, validate_copy_paste
from seesaw_d2.data.sampling.seeding import seeded
from seesaw_d2.errors import ConfigError, DataError, SeesawError
from seesaw_d2.train import load_config
from seesaw_d2.train.tasks.detection import validate
from tests.data.toy import HEIGHT, WIDTH, entry, make_cfg, square, toy_data, write, write_images

RARE = 0  # the contiguous id of category 3


def inputs(masks, classes, value, size=(30, 40)):
    """Return model inputs whose objects, (N, H, W) masks, have pixels of one value; background is 0."""
    masks = torch.as_tensor(np.array(masks), dtype=torch.bool).reshape(-1, *size)
    image = (masks.any(dim=0) * value).to(torch.uint8).expand(3, -1, -1).clone()
    boxes = Boxes(BitMasks(masks).get_bounding_boxes().tensor)
    fields = {"gt_boxes": boxes, "gt_classes": torch.tensor(classes), "gt_masks": BitMasks(masks)}
    return {"image": image, "instances": Instances(size, **fields), "image_id": value}


def rectangle(top, left, bottom, right, size=(30, 40)):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def ring():
    return rectangle(3, 3, 15, 15) & ~rectangle(6, 6, 12, 12)


@pytest.mark.parametrize("seed", range(5))
def test_pixels_masks_and_boxes_agree(seed):
    whole = [rectangle(0, 0, 30, 20), rectangle(10, 22, 12, 39)]
    target, source = inputs(whole, [0, 2], 50), inputs([ring()], [5], 200)
    with seeded(seed):
        result = paste(target, source)
    instances, image = result["instances"], result["image"][0]
    pasted = instances.gt_masks.tensor[-1]
    assert pasted.sum() == ring().sum()
    assert torch.equal(image == 200, pasted)
    assert torch.equal(image[~pasted], target["image"][0][~pasted])
    assert instances.gt_classes.tolist() == [0, 2, 5]
    for mask, before in zip(instances.gt_masks.tensor, whole, strict=False):
        assert torch.equal(mask, torch.from_numpy(before) & ~pasted)
    assert torch.equal(instances.gt_boxes.tensor, instances.gt_masks.get_bounding_boxes().tensor)
    assert torch.equal(target["image"][0], torch.from_numpy(whole[0] | whole[1]) * 50)  # not changed in place


def test_boxes_of_objects_that_are_not_covered_do_not_change():
    """Boxes of annotations are not those of the masks."""
    target = inputs([rectangle(0, 0, 1, 1)], [0], 50)
    target["instances"].gt_boxes = Boxes(torch.tensor([[0.25, 0.25, 1.75, 1.5]]))
    with seeded(1):
        result = paste(target, inputs([rectangle(3, 3, 6, 6)], [5], 200))
    assert result["instances"].gt_boxes.tensor[0].tolist() == [0.25, 0.25, 1.75, 1.5]


def test_an_entirely_covered_object_is_removed():
    target, source = inputs([rectangle(10, 10, 12, 12)], [0], 50), inputs([rectangle(0, 0, 30, 40)], [5], 200)
    result = paste(target, source)
    assert result["instances"].gt_classes.tolist() == [5]
    assert (result["image"] == 200).all()


def test_an_object_larger_than_the_image_is_cut():
    size = (8, 60)
    target, source = inputs([rectangle(0, 0, 1, 1, size)], [0], 50, size), inputs([rectangle(0, 0, 30, 40)], [5], 200)
    result = paste(target, source)
    assert result["instances"].image_size == size
    assert result["instances"].gt_masks.tensor[-1].sum() == 8 * 40


def test_an_image_without_objects_gets_one():
    empty = {"image": torch.zeros(3, 30, 40, dtype=torch.uint8), "instances": Instances((30, 40))}
    empty["instances"].gt_boxes, empty["instances"].gt_classes = Boxes(torch.zeros(0, 4)), torch.zeros(0).long()
    assert paste(empty, inputs([ring()], [5], 200))["instances"].gt_classes.tolist() == [5]


def test_polygons_are_refused():
    target = inputs([rectangle(0, 0, 5, 5)], [0], 50)
    target["instances"].remove("gt_masks")
    with pytest.raises(DataError, match="BitMasks"):
        paste(target, inputs([ring()], [5], 200))


def data(num_images=12):
    """Category 7 in every image, category 3 (rare) in the first, as polygon and as run lengths, and a crowd of it."""
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
    """r = 6 for the rare category, sqrt(3) for the other: 2 · 5 + 12 · 0.73 copies for 12 images."""
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
    """Images with more objects, equal for any number of workers, and after a resumption."""
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
    """Two objects are pasted. Each other mask loses their pixels, and its box is that of what is left of it."""
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
    """A mapper that replaces unreadable images must not paste another image's object."""

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
    del content["annotations"][0]  # the run lengths of a crowd need no check here
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
