"""List names and shapes of MMDetection's Mask and Cascade Mask R-CNN (ResNet, FPN, Seesaw Loss).

If MMDetection is installed, tests/weights/converters/test_names.py compares the lists with MMDetection's models.
"""

from collections.abc import Iterator

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def mmdet_shapes(*, depth: int, cascade: bool, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Return a dict from name to shape of the model's ``state_dict()``."""
    return {
        **dict(_resnet(BLOCKS[depth])),
        **dict(_neck()),
        **dict(_layer("rpn_head.rpn_conv", 256, 256, 3, 3)),
        **dict(_layer("rpn_head.rpn_cls", 3, 256, 1, 1)),
        **dict(_layer("rpn_head.rpn_reg", 12, 256, 1, 1)),
        **dict(_heads(cascade, num_classes)),
    }


def _resnet(blocks) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "backbone.conv1.weight", (64, 3, 7, 7)
    yield from _norm("backbone.bn1", 64)
    inputs = 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        for block in range(count):
            prefix = f"backbone.layer{stage + 1}.{block}"
            shapes = ((width, inputs, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1))
            for index, shape in enumerate(shapes, start=1):
                yield f"{prefix}.conv{index}.weight", shape
                yield from _norm(f"{prefix}.bn{index}", shape[0])
            if block == 0:
                yield f"{prefix}.downsample.0.weight", (4 * width, inputs, 1, 1)
                yield from _norm(f"{prefix}.downsample.1", 4 * width)
            inputs = 4 * width


def _neck():
    for level, channels in enumerate((256, 512, 1024, 2048)):
        yield from _layer(f"neck.lateral_convs.{level}.conv", 256, channels, 1, 1)
        yield from _layer(f"neck.fpn_convs.{level}.conv", 256, 256, 3, 3)


def _heads(cascade, num_classes):
    for stage in (".0", ".1", ".2") if cascade else ("",):
        box, mask = f"roi_head.bbox_head{stage}", f"roi_head.mask_head{stage}"
        yield f"{box}.loss_cls.cum_samples", (num_classes + 1,)
        yield from _layer(f"{box}.fc_cls", num_classes + 2, 1024)
        yield from _layer(f"{box}.fc_reg", 4 if cascade else 4 * num_classes, 1024)
        yield from _layer(f"{box}.shared_fcs.0", 1024, 256 * 7 * 7)
        yield from _layer(f"{box}.shared_fcs.1", 1024, 1024)
        for index in range(4):
            yield from _layer(f"{mask}.convs.{index}.conv", 256, 256, 3, 3)
        yield f"{mask}.upsample.weight", (256, 256, 2, 2)
        yield f"{mask}.upsample.bias", (256,)
        yield from _layer(f"{mask}.conv_logits", num_classes, 256, 1, 1)


def _layer(name, *shape):
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def _norm(name, channels):
    for kind in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{kind}", (channels,)
    yield f"{name}.num_batches_tracked", ()
