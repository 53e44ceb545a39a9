"""Test that images of one photo stay in one split, or that a note lists them."""

import json
import zlib

import pytest
from PIL import Image

from seesaw_d2.data.labelling_tools.prepare_export import prepare_export


def export(folder, names, originals=None):
    """Write an export of images with different content. Each image has one object of the same category."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [{"id": index, "file_name": name, "width": 20, "height": 20} for index, name in enumerate(names)]
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), tuple(zlib.crc32(name.encode()).to_bytes(4, "big")[1:])).save(
            folder / name, format="PNG"
        )
        if originals and originals[index]:
            images[index]["extra"] = {"name": originals[index]}
    objects = [{"id": index, "image_id": index, "category_id": 0, "bbox": [2, 2, 9, 9]} for index in range(len(names))]
    data = {"images": images, "annotations": objects, "categories": [{"id": 0, "name": "cat"}]}
    path = folder / "_annotations.coco.json"
    path.write_text(json.dumps(data))
    return path


def parts(output):
    found = [json.loads((output / f"{part}.json").read_text())["images"] for part in ("train", "val")]
    return [{image["id"] for image in images} for images in found]


def versions(photo, count=3, first=0):
    return [f"{photo}_jpg.rf.{first + index:032x}.jpg" for index in range(count)]


@pytest.mark.parametrize(
    ("names", "originals"),
    [
        ([*versions("a b"), *versions("c", first=3), *versions("d", first=6)], None),
        ([f"{index}.png" for index in range(9)], [f"photo{index // 3}.jpg" for index in range(9)]),
        ([f"photo{index // 3}.jpg.rf.h{index}.png" for index in range(9)], None),
        (["a.jpg", *versions("a", 2), "c/c.jpg", *versions("c", 2), "d.jpg", *versions("d", 2)], None),
        ([*versions("a"), *versions("c", first=3), "6.png", "7.png", "8.png"], [None] * 6 + ["d.jpg"] * 3),
        ([f"{photo}_jpg.rf.{i:032x}_jpg.rf.{9 - i:032x}.jpg" for photo in "abc" for i in range(3)], None),
    ],
    ids=["stem", "extra", "short hash", "with originals", "stem and extra", "exported twice"],
)
def test_versions_of_a_photo_stay_together(tmp_path, names, originals):
    done = prepare_export(export(tmp_path / "export", names, originals), tmp_path / "made")
    train, val = parts(tmp_path / "made")
    assert len(val) >= 2
    assert all(photo <= train or photo <= val for photo in ({0, 1, 2}, {3, 4, 5}, {6, 7, 8}))
    assert sum(names[1] in note for note in done.notes if "stay together" in note) == 1


@pytest.mark.parametrize(
    ("train", "val", "found"),
    [
        (versions("a"), [*versions("a", 1, 7), *versions("b", 1, 8)], versions("a", 1, 7)),
        (["a.jpg", "b.jpg"], versions("a", 1), versions("a", 1)),
        (versions("clip_mp4-0001", 1), versions("clip_mp4-0002", 1, 2), versions("clip_mp4-0002", 1, 2)),
        (["clip/frame_000000.PNG"], ["clip/frame_000001.PNG", "other/frame_000001.PNG"], ["clip/frame_000001.PNG"]),
        (["1a2b3c4d-a.jpg"], ["5a6b7c8d-a.jpg", "5a6b7c8d-b.jpg"], ["5a6b7c8d-a.jpg"]),
        (["20240101-a.jpg", "x/a.jpg", *versions("a")], ["20240102-a.jpg", "y/a1.jpg", *versions("b", first=3)], []),
    ],
    ids=["versions", "original", "Roboflow's video", "CVAT's video", "Label Studio's prefix", "other photos"],
)
def test_a_given_validation_set_with_the_same_photos_is_noted(tmp_path, train, val, found):
    paths = [export(tmp_path / "sets" / name, names) for name, names in (("train", train), ("valid", val))]
    if "clip/" in train[0]:  # one folder, as in CVAT's exports
        paths = [export(tmp_path / "sets", names).rename(tmp_path / f"{len(names)}.json") for names in (train, val)]
    done = prepare_export(paths[0], tmp_path / "made", val=paths[1], images=tmp_path / "sets")
    notes = [note for note in done.notes if f" of {len(val)} validation images" in note]
    assert len(notes) == bool(found)
    assert all(f"{len(found)} of {len(val)}" in note and found[0] in note for note in notes)


def test_frames_of_one_video_in_both_parts_are_noted(tmp_path):
    names = [f"frame_{index:06d}.PNG" for index in range(10)]
    done = prepare_export(export(tmp_path / "export", names), tmp_path / "made")
    assert sum("2 of 2 validation images" in note and "--val" in note for note in done.notes) == 1
