"""Test evaluations, hooks and writers with all options in two processes."""

import json

import torch
import yaml

from seesaw_d2.train import main

WANDB = """
class Image:
    def __init__(self, array): pass

class Run:
    def __init__(self, folder): self.folder, self.steps = folder, []
    def log(self, values, step): self.steps.append(step)
    def finish(self): open(self.folder + "/wandb.txt", "x").write(str(self.steps))

def init(project, dir, **options): return Run(dir)
"""
EVALUATION = [
    *("TEST.CLASSIFICATION_ACCURACY", "True", "TEST.LVIS_METRICS", "['fixed']"),
    *("MODEL.CHANNELS_LAST", "True"),
    *("TEST.AUG.ENABLED", "True", "TEST.AUG.MIN_SIZES", "(96, 128)"),
    *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0", "TEST.DETECTIONS_PER_IMAGE", "20"),
]
TRAINING = [
    *("SOLVER.MAX_ITER", "2", "SOLVER.STEPS", "(1,)", "SOLVER.CHECKPOINT_PERIOD", "1", "SOLVER.CHECKPOINT_KEEP", "1"),
    *("SOLVER.METRICS_PERIOD", "2", "SOLVER.OPTIMIZER_IMPLEMENTATION", "fused", "SOLVER.MAX_SKIPPED_STEPS", "1"),
    *("SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "bfloat16"),
    *("SOLVER.REFERENCE_WORLD_SIZE", "2", "SOLVER.CHECKPOINT_BEST", "first/bbox/AP", "TEST.EVAL_PERIOD", "1"),
    *("TEST.PRECISE_BN.ENABLED", "True", "TEST.PRECISE_BN.NUM_ITER", "2", "VIS_PERIOD", "1"),
    *("LOGGING.WANDB_PROJECT", "glyphs", "DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"),
]


def test_every_option(one_thread, config_file, tmp_path, monkeypatch):
    """Test that one process gives the same evaluation as two processes, with the weights that the two saved."""
    config = yaml.safe_load(config_file.read_text())
    val = config["DATASETS"]["REGISTER"][1]
    config["DATASETS"]["REGISTER"] += [{**val, "NAME": name} for name in ("first", "second")]
    config["DATASETS"]["TEST"] = ["first", "second"]
    config_file.write_text(yaml.safe_dump(config))
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/wandb.py").write_text(WANDB)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    command = ["--config-file", str(config_file)]
    assert main([*command, "--num-processes", "2", *EVALUATION, *TRAINING]) == 0
    two, one = tmp_path / "run", tmp_path / "one"
    assert (two / "wandb.txt").is_file()
    assert torch.load(two / "model_best.pth", weights_only=True)["metric"] == "first/bbox/AP"
    options = [*EVALUATION, "OUTPUT_DIR", str(one), "MODEL.WEIGHTS", str(two / "model_final.pth")]
    assert main([*command, "--eval-only", *options]) == 0
    for name in ("first", "second"):
        files = [f"inference{kind}/{name}/{file}.json" for kind in ("", "_TTA") for file in ("results", "categories")]
        for file in (*files, f"inference/{name}/classification.json"):
            assert (two / file).read_text() == (one / file).read_text(), file
        for kind in ("", "_TTA"):
            file = f"inference{kind}/{name}/lvis_instances_results.json"
            by_image, expected = (detections(run / file) for run in (two, one))
            assert by_image == expected
            assert len(by_image) == 6
        plain = (two / f"inference/{name}/lvis_instances_results.json").read_text()
        assert (two / file).read_text() != plain


def detections(path):
    """Return the sorted detections of each image."""
    found = {}
    for each in json.loads(path.read_text()):
        found.setdefault(each["image_id"], []).append(json.dumps(each, sort_keys=True))
    return {image: sorted(each) for image, each in found.items()}
