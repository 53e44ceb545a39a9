"""Test tools/convert_mmdet_checkpoint.py: valid and invalid files, and overwriting."""

import torch

from tests.weights.converters.command import run

PLAIN = "model = dict(roi_head=dict(mask_head=dict()))"


def test_the_layouts_of_both_versions(tiny, capsys):
    """Test the layouts of MMDetection 2 and 3 with the same weights, and the prefix of DistributedDataParallel."""
    source, config, target = tiny
    state = torch.load(source, weights_only=True)["state_dict"]
    contents = {
        "2": {"meta": {"config": PLAIN, "mmdet_version": "2.25.0", "CLASSES": ("a",), "epoch": 24}, "optimizer": {}},
        "3": {"meta": {"cfg": PLAIN, "dataset_meta": {}, "epoch": 24}, "message_hub": {}, "param_schedulers": []},
        "wrapped": {"meta": {"config": PLAIN}},
    }
    written = []
    for name, content in contents.items():
        weights = {f"module.{key}": value for key, value in state.items()} if name == "wrapped" else dict(state)
        if name == "3":
            weights["data_preprocessor.mean"] = torch.ones(3, 1, 1)
        torch.save({**content, "state_dict": weights}, source)
        status, out, _ = run(capsys, source, target, "--overwrite", "--config-file", config)
        assert (status, "unknown" in out) == (0, False)
        written.append(torch.load(target, weights_only=True)["model"])
    for other in written[1:]:
        assert other.keys() == written[0].keys()
        assert all(torch.equal(value, other[name]) for name, value in written[0].items())


def test_a_part_of_a_checkpoint(tiny, capsys):
    """Test that the error names the missing parameters and the found parameters."""
    source, config, target = tiny
    content = torch.load(source, weights_only=True)
    state = content["state_dict"]
    state["rpn_head.rpn_conv.0.conv.weight"] = state.pop("rpn_head.rpn_conv.weight")
    del state["roi_head.mask_head.2.upsample.bias"]
    torch.save(content, source)
    status, _, err = run(capsys, source, target, "--config-file", config)
    assert status == 2
    assert f"{source}: the weights do not fit the model of {config}" in err
    assert "proposal_generator.rpn_head.conv.weight: not in the checkpoint" in err
    assert "roi_heads.mask_head.2.deconv.bias: not in the checkpoint" in err
    assert "rpn_head.rpn_conv.0.conv.weight" in err
    assert not target.exists()


def test_a_file_of_another_program(tmp_path, capsys):
    torch.save({"fc.weight": torch.ones(1)}, tmp_path / "in.pth")
    status, _, err = run(capsys, tmp_path / "in.pth", tmp_path / "out.pth")
    assert status == 2
    assert f"{tmp_path / 'in.pth'}: " in err
    assert "fc.weight" in err
    assert "Detectron2" not in err
    torch.save({"model": {"backbone.bottom_up.stem.conv1.weight": torch.ones(1)}}, tmp_path / "in.pth")
    _, _, err = run(capsys, tmp_path / "in.pth", tmp_path / "out.pth")
    assert "Detectron2's names" in err


def test_files_that_stay(tiny, capsys):
    source, config, target = tiny
    target.write_text("kept")
    for arguments, message in (
        ([source, target], "--overwrite"),
        ([source, source, "--overwrite"], f"output: {source} "),
        ([source, target.with_suffix(".pkl")], f".pth, found {target.with_suffix('.pkl')}"),
        ([source.with_name("none.pth"), target.with_name("new.pth")], "none.pth: "),
        ([source.with_name("none.pth"), target], "none.pth: "),
        ([source.parent, target], f"{source.parent}: expected a weights file, found a directory"),
    ):
        status, _, err = run(capsys, *arguments, "--config-file", config)
        assert status == 2
        assert message in err
    assert run(capsys, source, target, "--overwrite", "--config-file", config)[0] == 2  # not a PyTorch file
    assert target.read_text() == "kept"
    torch.save({}, target)
    assert run(capsys, source, target, "--overwrite", "--config-file", config)[0] == 0


def test_what_is_not_recognized_is_printed(tiny, capsys):
    source, config, target = tiny
    content = torch.load(source, weights_only=True)
    content["state_dict"]["roi_head.semantic_head.conv.weight"] = torch.ones(1)
    torch.save(content, source)
    status, out, _ = run(capsys, source, target, "--config-file", config)
    assert status == 0
    assert ": roi_head.semantic_head.conv.weight" in out
