"""Test that checkpoints contain their categories, and that another order raises an error before the job starts."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from seesaw_d2.errors import ConfigError, SeesawError, WeightsError
from seesaw_d2.predict.predictor import BatchPredictor
from seesaw_d2.train import load_config
from seesaw_d2.train import main as train_net
from seesaw_d2.train.lazyconfig.job import main as lazy_main
from seesaw_d2.train.preflight.job_checks import Preflight
from tests.conftest import NUM_CLASSES
from tests.train.lazy_configs import CONFIG as LAZY_CONFIG

ONE = ["SOLVER.MAX_ITER", "1", "DATALOADER.NUM_WORKERS", "0"]


def renamed(path: str, target: Path, names: dict[int, str]) -> str:
    """Copy an annotation file, with other category names at some indices."""
    data = json.loads(Path(path).read_text())
    categories = sorted(data["categories"], key=lambda category: category["id"])
    for index, name in names.items():
        categories[index]["name"] = name
    target.write_text(json.dumps(data))
    return str(target)


@pytest.fixture
def run(config_file, tmp_path):
    """Return a trained model, its category names, and a function that returns overrides with other names."""
    status = train_net(["--config-file", str(config_file), "DATASETS.TEST", "()", *ONE])
    assert status == 0
    register = yaml.safe_load(config_file.read_text())["DATASETS"]["REGISTER"]
    data = json.loads(Path(register[0]["JSON"]).read_text())
    names = [category["name"] for category in sorted(data["categories"], key=lambda category: category["id"])]

    def changed(changes: dict[int, str], *splits: str) -> list[str]:
        entries, used = [], {}
        for entry, split in zip(register, ("TRAIN", "TEST"), strict=True):
            entry = dict(entry)
            if split in splits:
                entry["JSON"] = renamed(entry["JSON"], tmp_path / f"{split}{hash(str(changes))}.json", changes)
                entry["NAME"] += f"_{split}{hash(str(changes))}{tmp_path.name}"
            entries.append(entry)
            used[split] = str((entry["NAME"],))
        return ["DATASETS.REGISTER", str(entries), "DATASETS.TRAIN", used["TRAIN"], "DATASETS.TEST", used["TEST"]]

    return tmp_path / "run" / "model_final.pth", names, changed


def swap(names, first=1, second=4):
    return {first: names[second], second: names[first]}


def check(config_file, words, **options):
    cfg = load_config(str(config_file), [*ONE, *words])
    given = {"eval_only": False, "resume": False, "overwrite": False, **options}
    return Preflight(cfg, **given).job()


def test_checkpoints_keep_them(run):
    path, names, _ = run
    assert torch.load(path, weights_only=True)["categories"] == names
    assert len(names) == NUM_CLASSES


def without_entry(path: Path) -> str:
    content = torch.load(path, weights_only=True)
    del content["categories"]
    target = path.with_name("old.pth")
    torch.save(content, target)
    return str(target)


def test_an_evaluation(run, config_file, caplog):
    path, names, changed = run
    weights = ["MODEL.WEIGHTS", str(path)]
    check(config_file, weights, eval_only=True)
    swapped = changed(swap(names), "TEST")
    # The expected order comes from the training set or, if it is not available, from the checkpoint.
    for given in (weights, ["MODEL.WEIGHTS", without_entry(path)], [*weights, "DATASETS.TRAIN", "()"]):
        with pytest.raises(SeesawError) as error:
            check(config_file, [*swapped, *given], eval_only=True)
        for word in ("index 1 ", repr(names[1]), repr(names[4]), "DATASETS.TEST"):
            assert word in str(error.value)
    with pytest.raises(WeightsError, match=r"model_final\.pth"):
        check(config_file, [*changed(swap(names), "TRAIN", "TEST"), *weights], eval_only=True)
    check(config_file, ["MODEL.WEIGHTS", without_entry(path), *swapped, "DATASETS.TRAIN", "()"], eval_only=True)
    with pytest.raises(ConfigError, match="index 2 "):  # in addition to a replaced name
        check(config_file, [*changed({0: "new", **swap(names, 2, 3)}, "TEST"), *weights], eval_only=True)
    caplog.clear()
    check(config_file, [*changed({0: "new"}, "TEST"), *weights], eval_only=True)
    assert "index 0 " in caplog.text
    assert "'new'" in caplog.text


def test_nothing_is_computed(run, config_file, capsys):
    path, names, changed = run
    words = [*changed(swap(names), "TEST"), "MODEL.WEIGHTS", str(path)]
    assert train_net(["--config-file", str(config_file), "--eval-only", *words]) == 2
    assert "index 1 " in capsys.readouterr().err
    assert not (path.parent / "inference").exists()


def test_a_list_in_another_order_is_no_difference(run, config_file, tmp_path):
    path, _, _ = run
    register = yaml.safe_load(config_file.read_text())["DATASETS"]["REGISTER"]
    data = json.loads(Path(register[1]["JSON"]).read_text())
    data["categories"].reverse()
    (tmp_path / "reversed.json").write_text(json.dumps(data))
    entry = {**register[1], "NAME": f"reversed_{tmp_path.name}", "JSON": str(tmp_path / "reversed.json")}
    words = ["DATASETS.REGISTER", str([register[0], entry]), "DATASETS.TEST", str((entry["NAME"],))]
    check(config_file, [*words, "MODEL.WEIGHTS", str(path)], eval_only=True)


def test_trainings_that_start_from_it(run, config_file, tmp_path, caplog):
    path, names, changed = run
    start = ["MODEL.WEIGHTS", str(path), "OUTPUT_DIR", str(tmp_path / "other")]
    swapped = changed(swap(names), "TRAIN", "TEST")
    with pytest.raises(WeightsError, match=r"model_final\.pth") as error:
        check(config_file, [*swapped, *start])
    assert "index 1 " in str(error.value)
    with pytest.raises(WeightsError, match="index 1 "):  # the class counts would belong to other categories
        check(config_file, [*swapped, *start, "MODEL.WEIGHTS_EXCEPT", "['*.cls_score', '*.bbox_pred']"])
    check(config_file, [*swapped, *start, "MODEL.WEIGHTS_EXCEPT", "['roi_heads.box_predictor']"])
    others = {index: f"other {index}" for index in range(NUM_CLASSES)}
    check(config_file, [*changed(others, "TRAIN", "TEST"), *start])
    # Names that occur in both datasets may have any position.
    check(config_file, [*changed({**others, 0: names[3]}, "TRAIN", "TEST"), *start])


def test_a_resume(run, config_file):
    path, names, changed = run
    more = ["SOLVER.MAX_ITER", "2", "OUTPUT_DIR", str(path.parent)]
    check(config_file, more, resume=True)
    for changes in (swap(names), {0: "new", **swap(names)}):
        with pytest.raises(WeightsError, match="index 1 "):
            check(config_file, [*changed(changes, "TRAIN", "TEST"), *more], resume=True)


def test_predictors_have_its_names(run, config_file):
    path, names, changed = run

    def predictor(*words):
        return BatchPredictor(load_config(str(config_file), ["MODEL.WEIGHTS", str(path), *words]))

    found = predictor("DATASETS.REGISTER", "[]", "DATASETS.TRAIN", "()", "DATASETS.TEST", "()")
    assert (found.class_names, found.unknown_data) == (names, "")
    for splits in (("TEST",), ("TRAIN",), ("TRAIN", "TEST")):
        with pytest.raises(SeesawError, match="index 1 "):
            predictor(*changed(swap(names), *splits))


def test_image_classification(tmp_path):
    """Test class folders, which are sorted by name, with a file that lists the classes in another order."""
    for label in ("ant", "bee", "cat"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (8, 8), (90 * number, 40, 200)).save(tmp_path / "images" / label / f"{number}.png")
    entries = [{"NAME": f"{tmp_path.name}_folders", "FOLDER": str(tmp_path / "images")}]
    for order in ("ant bee cat", "bee ant cat"):
        (tmp_path / order).write_text("\n".join(order.split()))
        entries.append({**entries[0], "NAME": f"{tmp_path.name} {order}", "CLASSES": str(tmp_path / order)})
    folders, same, other = (str((entry["NAME"],)) for entry in entries)
    config = Path("configs/digits/ce.yaml")
    common = ["MODEL.DEVICE", "cpu", "MODEL.CLASSIFIER.NUM_CLASSES", "3", "DATASETS.REGISTER", str(entries)]
    common += ["SOLVER.IMS_PER_BATCH", "2", "OUTPUT_DIR", str(tmp_path / "run")]
    words = [*common, "DATASETS.TRAIN", folders, "DATASETS.TEST", "()", *ONE]
    assert train_net(["--config-file", str(config), *words]) == 0
    weights = tmp_path / "run/model_final.pth"
    assert torch.load(weights, weights_only=True)["categories"] == ["ant", "bee", "cat"]
    words = [*common, "MODEL.WEIGHTS", str(weights), "DATASETS.TEST"]
    check(config, [*words, same, "DATASETS.TRAIN", folders], eval_only=True)
    for trained in (folders, other, "()"):
        with pytest.raises(SeesawError, match="index 0 is 'ant'"):
            check(config, [*words, other, "DATASETS.TRAIN", trained], eval_only=True)
    with pytest.raises(WeightsError, match="index 0 is 'ant'"):
        check(config, [*words, "()", "DATASETS.TRAIN", other, "OUTPUT_DIR", str(tmp_path / "more")])


def test_best_weights_keep_them(config_file, tmp_path):
    words = ["SOLVER.CHECKPOINT_BEST", "bbox/AP", "TEST.EVAL_PERIOD", "1"]
    assert train_net(["--config-file", str(config_file), *words, *ONE]) == 0
    assert len(torch.load(tmp_path / "run/model_best.pth", weights_only=True)["categories"]) == NUM_CLASSES


@pytest.mark.parametrize("flags", [["--eval-only"], []])
def test_lazy_configs(glyphs, tmp_path, capsys, flags):
    path, weights = tmp_path / "config.py", tmp_path / "start.pth"
    path.write_text(LAZY_CONFIG.replace("GLYPHS", str(glyphs)).replace("RUN", str(tmp_path / "run")))
    data = json.loads((glyphs / "annotations/glyphs_train.json").read_text())
    names = [category["name"] for category in data["categories"]]
    torch.save({"model": {"a": torch.ones(1)}, "categories": names[::-1]}, weights)
    assert lazy_main(["--config-file", str(path), *flags, f"train.init_checkpoint={weights}"]) == 2
    found = capsys.readouterr().err
    assert "index 0 " in found
    assert str(weights) in found
    assert not (tmp_path / "run").exists()
    torch.save({"model": {"a": torch.ones(1)}, "categories": names}, weights)
    if flags:  # the next error
        assert lazy_main(["--config-file", str(path), *flags, f"train.init_checkpoint={weights}"]) == 2
        assert "index 0 " not in capsys.readouterr().err
        return
    assert lazy_main(["--config-file", str(path), "train.max_iter=1"]) == 0
    assert torch.load(tmp_path / "run/model_final.pth", weights_only=True)["categories"] == names
