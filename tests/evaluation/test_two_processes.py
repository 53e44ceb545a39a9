import json

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.utils import comm

from seesaw_d2.data import load_dataset, register_datasets
from seesaw_d2.evaluation import build_evaluator
from tests.data.toy import entry, make_cfg, toy_data, write
from tests.evaluation.predictions import evaluate


def _evaluate(rank, world_size, folder, json_file):
    torch.set_num_threads(1)
    if world_size > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size)
    cfg = make_cfg(entry(f"toy_processes_{world_size}", json_file, folder))
    register_datasets(cfg)
    name = cfg.DATASETS.REGISTER[0]["NAME"]
    evaluator = build_evaluator(cfg, name, f"{folder}/{world_size}")
    results = evaluate(evaluator, load_dataset(name)[rank::world_size], shift=1.0)
    if comm.is_main_process():
        with open(f"{folder}/results{world_size}.json", "w") as file:
            json.dump(results, file)
    else:
        assert results is None
    if world_size > 1:
        dist.destroy_process_group()


def test_two_processes_find_what_one_does(tmp_path):
    json_file = write(tmp_path, toy_data(5))
    _evaluate(0, 1, tmp_path, json_file)
    mp.spawn(_evaluate, (2, tmp_path, json_file), nprocs=2)
    one, two = (json.loads((tmp_path / f"results{count}.json").read_text()) for count in (1, 2))
    assert str(one) == str(two)  # nan included
    assert 0 < one["bbox"]["AP"] < 100
