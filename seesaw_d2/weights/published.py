"""List the Seesaw Loss checkpoints that MMDetection publishes and that the converter supports."""

SCHEME = "mmdet://"
_FOLDER = "https://download.openmmlab.com/mmdetection/v2.0/seesaw_loss/"
# MMDetection publishes each model in four variants. A variant consists of two parts of this project's config name: the
# sampler, "random" or "rfs" (repeat factor sampling), and "_normmask" if the mask head is normalized.
_VARIANTS = (("random", ""), ("random", "_normmask"), ("rfs", ""), ("rfs", "_normmask"))
# Hashes in the names of the published files, in the order of _VARIANTS. The keys "50" and "101" are Mask R-CNN with
# ResNet-50 and ResNet-101. The key "cascade" is Cascade Mask R-CNN with ResNet-101.
_HASHES = {
    "50": ("a698dd3d", "a1c11314", "392a804b", "cd0f6a12"),
    "101": ("8e6e6dd5", "a0b59c42", "e68eb464", "1d817139"),
    "cascade": ("71e2215e", "8b5a6745", "5d8ca2a4", "c8551505"),
}


def _files() -> dict[str, str]:
    files = {}
    for model, hashes in _HASHES.items():
        depth, cascade = ("101", "cascade_") if model == "cascade" else (model, "")
        for (sampler, mask), digest in zip(_VARIANTS, hashes, strict=True):
            config = f"seesaw/{cascade}mask_rcnn_R_{depth}_FPN_{sampler}_seesaw{mask}_2x.yaml"
            theirs = {"random": "random", "rfs": "sample1e-3"}[sampler], "_normed_mask" if mask else ""
            stem = f"{cascade}mask_rcnn_r{depth}_fpn_{theirs[0]}_seesaw_loss{theirs[1]}_mstrain_2x_lvis_v1"
            files[config] = f"{stem}-{digest}.pth"
    return files


# Maps a config of this project, such as "seesaw/mask_rcnn_R_50_FPN_random_seesaw_2x.yaml", to the file name of the
# checkpoint that MMDetection publishes for this model.
FILES = _files()


def published_url(file: str) -> str:
    """Return the URL from which MMDetection's checkpoint ``file``, one of the values of ``FILES``, is downloaded."""
    return _FOLDER + file
