"""Write the config of a dataset that was created from the export of a labelling tool."""

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from seesaw_d2.data.labelling_tools.exported_parts import Part
from seesaw_d2.data.records.registration import is_foreign
from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.atomic_files import write_text
from seesaw_d2.utils.messages import first_few
from seesaw_d2.utils.untrusted_paths import below

SPLITS = ("train", "val")
CONFIG = "dataset.yaml"
# First line of each written config. A later run replaces only a config with this line, so that it never overwrites a
# config that the user wrote.
MARK = "# Written by datasets/prepare_export.py."


def data_set_names(output: Path) -> list[str]:
    """Return the names of the training set and the validation set, which begin with the name of the folder."""
    return [f"{output.resolve().name}_{split}" for split in SPLITS]


def check_data_set_names(output: Path) -> None:
    """Raise ConfigError if the name of the folder ``output`` gives names that DATASETS.REGISTER refuses."""
    names = data_set_names(output)
    for name in names:
        below("", name, f"--output {output}: name of a dataset")
        if is_foreign(name):
            raise ConfigError(
                f"--output: expected a folder with an unused name, found {output}. Its datasets would have the names "
                f"{' and '.join(names)}, and Detectron2 already has {name!r}. Choose another folder."
            )


def write_config(output: Path, root: Path, parts: list[Part], notes: list[str]) -> Path:
    """Write ``dataset.yaml`` with the config keys that depend on the dataset, such as MODEL.ROI_HEADS.NUM_CLASSES.

    Args:
        output: folder of the dataset, to which the config is written. It contains ``train.json`` and ``val.json``.
        root: folder of the images.
        parts: training part and validation part of the dataset.
        notes: list to which the function appends messages for the user about the chosen settings.

    Returns:
        the path of the config.
    """
    objects = [item for part in parts for item in part.usable_objects()]
    kinds = Counter(type(item.get("segmentation") or None).__name__ for item in objects)
    names = data_set_names(output)
    entries = [
        {"NAME": name, "JSON": str(output / f"{split}.json"), "IMAGES": str(root), "FORMAT": "coco"}
        for name, split in zip(names, SPLITS, strict=True)
    ]
    model: dict[str, Any] = {"ROI_HEADS": {"NUM_CLASSES": len(parts[0].data["categories"])}}
    if kinds["NoneType"]:
        model["MASK_ON"] = False
        ids = first_few(item["id"] for item in objects if not item.get("segmentation"))
        notes.append(
            f"{kinds['NoneType']} of {len(objects)} objects have no mask (annotation ids {ids}). Therefore the config "
            "sets MODEL.MASK_ON False, which trains only boxes"
        )
    config: dict[str, Any] = {
        "DATASETS": {"REGISTER": entries, "TRAIN": [names[0]], "TEST": [names[1]]},
        "MODEL": model,
    }
    if kinds["dict"]:
        config["INPUT"] = {"MASK_FORMAT": "bitmask"}
        notes.append(
            f"{kinds['dict']} masks are run-length encoded. Therefore the config sets INPUT.MASK_FORMAT bitmask"
        )
    path = output / CONFIG
    write_text(path, f"{MARK}\n" + yaml.safe_dump(config, sort_keys=False))
    return path
