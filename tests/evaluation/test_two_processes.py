import torch.distributed as dist

from seesaw_d2.data import load_dataset, register_datasets
from seesaw_d2.evaluation import build_evaluator
from tests.data.toy import entry, make_cfg, toy_data, write
from tests.evaluation.predictions import evaluate
from tests.processes import run_two_processes


def _evaluate(rank, folder, json_file):
    count = dist.get_world_size() if dist.is_initialized() else 1
    cfg = make_cfg(entry(f"toy_processes_{count}", json_file, folder))
    register_datasets(cfg)
    name = cfg.DATASETS.REGISTER[0]["NAME"]
    evaluator = build_evaluator(cfg, name, f"{folder}/{count}")
    return evaluate(evaluator, load_dataset(name)[rank::count], shift=1.0)


def test_two_processes_find_what_one_does(tmp_path):
    json_file = write(tmp_path, toy_data(5))
    one = _evaluate(0, tmp_path, json_file)
    two, other = run_two_processes(_evaluate, tmp_path, tmp_path, json_file)
    assert other is None
    assert str(one) == str(two)  # compare text, so that nan equals nan
    assert 0 < one["bbox"]["AP"] < 100
