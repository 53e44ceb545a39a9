import json
import os

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from seesaw_d2.data import dataset_statistics, load_dataset, register_datasets
from seesaw_d2.data.records.catalog import read_annotation_file
from seesaw_d2.errors import ConfigError, DataError
from tests.data.toy import entry, make_cfg, toy_data, write, write_images
from tests.shared import shared_path


@pytest.fixture
def toy(tmp_path, request):
    data = toy_data()
    images = write_images(tmp_path / "images", data)
    return entry(f"toy_{request.node.name}", write(tmp_path, data), images)


def test_registers_lazily(toy):
    register_datasets(make_cfg(toy))
    metadata = MetadataCatalog.get(toy["NAME"])
    assert "thing_classes" not in metadata.__dict__
    assert metadata.thing_classes == ["three", "seven"]
    assert metadata.thing_dataset_id_to_contiguous_id == {3: 0, 7: 1}
    assert (metadata.json_file, metadata.image_root) == (toy["JSON"], toy["IMAGES"])
    assert metadata.evaluator_type == "lvis"
    assert metadata.get("stuff_classes") is None
    assert len(DatasetCatalog.get(toy["NAME"])) == 4


def test_the_same_entry_again_is_harmless(toy):
    register_datasets(make_cfg(toy))
    register_datasets(make_cfg(toy))
    with pytest.raises(ConfigError, match=r"REGISTER\[0\]\.NAME: .*json_file .*format auto"):
        register_datasets(make_cfg({**toy, "FORMAT": "coco"}))


def test_paths(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOY_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, json_file, images in (("rel", "toy.json", "images"), ("env", "$TOY_DATA/toy.json", "~/images")):
        name = f"{name}_{toy['NAME']}"
        register_datasets(make_cfg(entry(name, json_file, images)))
        assert MetadataCatalog.get(name).json_file == os.path.join(tmp_path, "toy.json")
        assert MetadataCatalog.get(name).image_root == os.path.join(tmp_path, "images")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"JSONS": "x"}, r"DATASETS\.REGISTER\[0\]\.JSONS: .*Did you mean JSON"),
        ({"JSON": None}, r"REGISTER\[0\]\.JSON: expected a non-empty string"),
        ({"NAME": " "}, r"REGISTER\[0\]\.NAME: expected a non-empty string"),
        ({"FORMAT": "voc"}, r"REGISTER\[0\]\.FORMAT: expected one of lvis, coco, auto, found 'voc'"),
        ({"JSON": "/absent.json"}, r"REGISTER\[0\]\.JSON: .*/absent\.json"),
        ({"JSON": "/"}, r"REGISTER\[0\]\.JSON: .*found the folder /"),
        ({"IMAGES": "/absent"}, r"REGISTER\[0\]\.IMAGES: .*/absent"),
        ({"NAME": "coco_2017_train"}, r"REGISTER\[0\]\.NAME: .*found 'coco_2017_train'"),
    ],
)
def test_errors_name_the_key(toy, change, message):
    with pytest.raises(ConfigError, match=message):
        register_datasets(make_cfg({**toy, **change}))


def test_an_annotation_file_of_nearly_this_name_is_named(toy):
    folder, name = os.path.split(toy["JSON"])
    with pytest.raises(ConfigError) as error:
        register_datasets(make_cfg({**toy, "JSON": os.path.join(folder, name.upper())}))
    assert all(text in str(error.value) for text in ("REGISTER[0].JSON", name.upper(), toy["JSON"]))


def test_errors_of_the_list(toy):
    with pytest.raises(ConfigError, match=r"REGISTER\[1\]: expected a mapping"):
        register_datasets(make_cfg(toy, "toy.json"))
    with pytest.raises(ConfigError, match=r"REGISTER\[1\]\.NAME: .*DATASETS\.REGISTER\[0\]"):
        register_datasets(make_cfg(toy, toy))
    del toy["IMAGES"]
    with pytest.raises(ConfigError, match=r"REGISTER\[0\]: .*IMAGES"):
        register_datasets(make_cfg(toy))


def test_from_yaml(toy, tmp_path):
    cfg = make_cfg()
    (tmp_path / "cfg.yaml").write_text(json.dumps({"DATASETS": {"REGISTER": [toy]}}))
    cfg.merge_from_file(str(tmp_path / "cfg.yaml"))
    register_datasets(cfg)
    assert toy["NAME"] in DatasetCatalog
    assert toy["NAME"] in cfg.dump()


def test_lvis_and_coco_are_the_same_data(tmp_path):
    root = shared_path("data/coco38")
    data = json.loads((root / "lvis_train.json").read_text())
    for image in data["images"]:
        for key in ("neg_category_ids", "not_exhaustive_category_ids", "coco_url"):
            del image[key]
    data["categories"] = [{"id": item["id"], "name": item["name"]} for item in data["categories"]]
    coco = entry("coco38_as_coco", write(tmp_path, data), root / "images/train2017")
    lvis = entry("coco38_as_lvis", root / "lvis_train.json", root / "images")
    register_datasets(make_cfg(lvis, coco))
    dicts = {name: load_dataset(name) for name in ("coco38_as_coco", "coco38_as_lvis")}
    for record in dicts["coco38_as_lvis"]:
        del record["neg_category_ids"], record["not_exhaustive_category_ids"]
    assert dicts["coco38_as_lvis"] == dicts["coco38_as_coco"]
    assert all(os.path.isfile(record["file_name"]) for record in dicts["coco38_as_coco"])
    first, second = (dataset_statistics(name) for name in dicts)
    assert first.names == second.names
    assert first.image_count.tolist() == second.image_count.tolist()
    assert first.instance_count.tolist() == second.instance_count.tolist()


def test_built_in_data_set_without_its_file():
    with pytest.raises(DataError, match=r"'lvis_v1_train'.*lvis_v1_train\.json.*DETECTRON2_DATASETS"):
        load_dataset("lvis_v1_train")


def test_built_in_lvis_is_read_with_its_own_ids(tmp_path, monkeypatch):
    data = toy_data()
    del data["annotations"]
    metadata = MetadataCatalog.get("lvis_v1_test_dev")
    monkeypatch.setitem(metadata.__dict__, "json_file", write(tmp_path, data))
    assert "annotations" not in load_dataset("lvis_v1_test_dev")[0]
    monkeypatch.setitem(metadata.__dict__, "json_file", write(tmp_path, toy_data(), "other.json"))
    classes = {item["category_id"] for item in load_dataset("lvis_v1_test_dev")[0]["annotations"]}
    assert classes == {2, 6}


def test_detectron2s_own_registration_stays_below_the_image_folder(tmp_path):
    """Test that paths stay below the image folder. Detectron2's loader would accept absolute paths in the file."""
    for name in ("../0.jpg", "/etc/passwd"):
        data = toy_data()
        data["images"][1]["file_name"] = name
        registered = f"{tmp_path}{name}"
        register_coco_instances(registered, {}, write(tmp_path, data), str(tmp_path / "images"))
        with pytest.raises(DataError, match=rf"toy\.json: .*{name}"):
            load_dataset(registered)
    register_coco_instances(f"{tmp_path}/right", {}, write(tmp_path, toy_data()), f"{tmp_path}/images/")
    assert len(load_dataset(f"{tmp_path}/right")) == len(toy_data()["images"])


@pytest.mark.parametrize("function", [load_dataset, dataset_statistics, read_annotation_file])
def test_a_data_set_that_is_not_registered(function):
    with pytest.raises(ConfigError, match=r"'lvis_v1_vall'.*Did you mean 'lvis_v1_val'.*DATASETS\.REGISTER"):
        function("lvis_v1_vall")
