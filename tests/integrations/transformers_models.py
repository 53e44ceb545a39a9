"""Build tiny models of transformers with random weights and their batches, without downloads."""

import torch
import transformers as hf

CLASSES, SIZE = 3, 64
SWIN = {"model_type": "swin", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "window_size": 2}
SWIN["out_features"] = ["stage1", "stage2", "stage3", "stage4"]
RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
LAYERS = {"encoder_layers": 1, "decoder_layers": 2, "d_model": 32, "encoder_attention_heads": 2, "num_queries": 6}
LAYERS |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "dropout": 0.0}
DETR = {**LAYERS, "num_labels": CLASSES, "auxiliary_loss": True}


def mask2former():
    config = hf.Mask2FormerConfig(
        backbone_config=dict(SWIN), feature_size=32, mask_feature_size=32, hidden_dim=32, num_attention_heads=2,
        encoder_layers=1, decoder_layers=3, encoder_feedforward_dim=32, dim_feedforward=32, num_queries=6,
        train_num_points=64, num_labels=CLASSES,
    )  # fmt: skip
    return hf.Mask2FormerForUniversalSegmentation(config)


def maskformer():
    decoder = {"model_type": "detr", **LAYERS}
    config = hf.MaskFormerConfig(
        backbone_config=dict(SWIN), decoder_config=decoder, fpn_feature_size=32, mask_feature_size=32,
        num_labels=CLASSES, use_auxiliary_loss=True, output_hidden_states=True,
    )  # fmt: skip
    return hf.MaskFormerForInstanceSegmentation(config)


def detr():
    return hf.DetrForObjectDetection(hf.DetrConfig(backbone_config={**RESNET, "out_features": ["stage4"]}, **DETR))


def deformable_detr():
    backbone = {**RESNET, "out_features": ["stage2", "stage3", "stage4"]}
    return hf.DeformableDetrForObjectDetection(hf.DeformableDetrConfig(backbone_config=backbone, **DETR))


def rf_detr():
    backbone = {"model_type": "rf_detr_dinov2", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    backbone |= {"image_size": SIZE, "patch_size": 16, "out_features": ["stage1", "stage2"], "num_windows": 1}
    config = hf.RfDetrConfig(
        backbone_config=backbone, d_model=32, decoder_layers=2, decoder_self_attention_heads=2, num_queries=6,
        decoder_cross_attention_heads=2, decoder_ffn_dim=32, group_detr=2, num_labels=CLASSES, dropout=0.0,
    )  # fmt: skip
    return hf.RfDetrForObjectDetection(config)


def make(name):
    torch.manual_seed(0)
    return globals()[name]().train()


def batch(model):
    """Return the inputs for two images. The first has two objects, the second has one object."""
    labels = [torch.tensor([0, 2]), torch.tensor([1])]
    inputs = {"pixel_values": torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))}
    if "former" in model.config.model_type:
        masks = torch.zeros(3, SIZE, SIZE)
        for index, mask in enumerate(masks):
            mask[16 * index : 16 * index + 24, 8:40] = 1
        return {**inputs, "mask_labels": [masks[:2], masks[2:]], "class_labels": labels}
    boxes = torch.tensor([[0.3, 0.3, 0.2, 0.2], [0.6, 0.5, 0.4, 0.3], [0.5, 0.5, 0.5, 0.5]])
    parts = zip(labels, boxes.split([2, 1]), strict=True)
    return {**inputs, "labels": [{"class_labels": own, "boxes": part} for own, part in parts]}


def losses(model):
    """Return the sum of all losses, and each loss."""
    torch.manual_seed(2)  # set the seed, because Mask2Former samples points
    found = model(**batch(model))
    return found.loss, getattr(found, "loss_dict", None)
