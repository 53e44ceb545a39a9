"""Test that the commands of the paper's tables are valid, distinct, and agree with the names of the rows."""

import shlex
from pathlib import Path

import paper_tables
import pytest
from detectron2.config import CfgNode

from seesaw_d2.data import training_statistics
from seesaw_d2.losses import build_loss
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.train import argument_parser, load_config
from seesaw_d2.train.preflight.config_checks import check_names

ROOT = Path(paper_tables.__file__).parents[1]
TABLES = paper_tables.read_tables()
ROWS = [row for rows in TABLES.values() for row in rows]
LOSS = "MODEL.ROI_BOX_HEAD.CLS_LOSS"


def config_of(row) -> CfgNode:
    """Return the config that train_net.py loads for the printed command."""
    words = shlex.split(row.command())
    assert words[:2] == ["python", "train_net.py"]
    args = argument_parser().parse_args(words[2:])
    assert args.num_gpus == 8
    assert args.eval_only == row.eval_only
    return load_config(str(ROOT / args.config_file), args.opts)


def value(cfg, key):
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.table}-{row.number}")
def test_command_is_valid(row):
    cfg = config_of(row)
    check_names(cfg)
    assert row.output == cfg.OUTPUT_DIR
    assert (1e-4 if row.table == "zoo" else 1e-3) == cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST
    assert cfg.DATASETS.TRAIN == ("lvis_v1_train",)
    assert (("lvis_v1_test_dev",) if row.eval_only else ("lvis_v1_val",)) == cfg.DATASETS.TEST
    assert (101 if row.table == "1" or "R-101" in row.name else 50) == cfg.MODEL.RESNETS.DEPTH
    repeated = "random" not in row.name
    assert (cfg.DATALOADER.SAMPLER_TRAIN == "RepeatFactorTrainingSampler") == repeated
    assert len(row.published) == {"zoo": 2}.get(row.table, 4 if row.eval_only else 5)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.table}-{row.number}")
def test_loss_builds(row):
    cfg = config_of(row)
    if cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME not in LOSS_REGISTRY:
        pytest.skip(f"there is no {cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME} yet")
    if cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS != "online":
        cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS = "online"  # other counts need data
    build_loss(cfg, cfg.MODEL.ROI_HEADS.NUM_CLASSES, lambda: training_statistics(cfg))


def test_numbers_of_rows():
    assert {table: len(rows) for table, rows in TABLES.items()} == {
        "1": 24,
        "2": 6,
        "3": 6,
        "4": 3,
        "5": 6,
        "6": 6,
        "7": 5,
        "8": 4,
        "zoo": 12,
    }


def test_each_row_differs_within_its_table():
    for rows in TABLES.values():
        configs = [config_of(row) for row in rows]
        for cfg in configs:
            cfg.OUTPUT_DIR = ""
        assert len({cfg.dump() for cfg in configs}) == len({row.name for row in rows}) == len(rows)


def test_one_training_one_folder():
    """Test that rows of different tables with the same config have the same folder and the same published numbers."""
    by_output = {}
    for row in ROWS:
        if not row.eval_only:
            cfg = config_of(row)
            cfg.OUTPUT_DIR = ""
            by_output.setdefault(row.output, []).append((cfg.dump(), row.published))
    assert all(len(set(same)) == 1 for same in by_output.values())
    assert len({same[0][0] for same in by_output.values()}) == len(by_output)
    assert len(by_output["output/paper/table2/mf_cf_nla"]) == 5  # this row is in Tables 2, 3, 4, 7 and 8


@pytest.mark.parametrize(
    ("table", "key", "values"),
    [
        ("2", f"{LOSS}.SEESAW.P", [0, 0.8, 0, 0.8, 0, 0.8]),
        ("2", f"{LOSS}.SEESAW.Q", [0, 0, 2, 2, 0, 2]),
        ("2", "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", ["Linear"] * 4 + ["NormedLinear"] * 2),
        ("2", f"{LOSS}.BACKGROUND", ["objectness"] * 6),
        ("3", "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", ["Linear", "NormedLinear"] * 3),
        ("4", f"{LOSS}.SEESAW.CLASS_COUNTS", ["dataset", "output/paper/class_counts.json", "online"]),
        ("5", f"{LOSS}.SEESAW.P", [0.2, 0.4, 0.6, 0.8, 1.0, 1.2]),
        ("5", "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", ["Linear"] * 6),
        ("6", f"{LOSS}.SEESAW.Q", [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]),
        ("6", "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", ["Linear"] * 6),
        ("7", "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.TEMPERATURE", [10, 15, 20, 25, 30]),
        ("8", f"{LOSS}.BACKGROUND", ["class", "objectness", "class", "objectness"]),
    ],
)
def test_what_a_table_varies(table, key, values):
    assert [value(config_of(row), key) for row in TABLES[table]] == values


def test_recorded_counts_come_from_the_online_row():
    recorded, online = TABLES["4"][1:]
    assert f"{online.output}/model_final.pth output/paper/class_counts.json" in recorded.before


def test_command_line(capsys):
    assert paper_tables.main(["--table", "2", "--row", "4", "--num-gpus", "2"]) == 0
    comment, command = capsys.readouterr().out.splitlines()
    assert comment.startswith("# Table 2, row 4: MF, CF. Published: AP 25.7, APr 19.1")
    assert "--num-gpus 2" in command
    assert command.endswith("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME Linear")
    assert paper_tables.main([]) == 0
    assert capsys.readouterr().out.count("python train_net.py") == len(ROWS)
    with pytest.raises(SystemExit):
        paper_tables.main(["--table", "2", "--row", "7"])
    assert "--row: expected a number from 1 to 6 for table 2, found 7" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        paper_tables.main(["--num-gpus", "0"])
    assert "--num-gpus: expected an integer >= 1, found 0" in capsys.readouterr().err
