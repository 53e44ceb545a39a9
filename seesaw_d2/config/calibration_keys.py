"""Config keys of the calibration of class scores at test time."""

from detectron2.config import CfgNode as CN


def add_calibration(cfg: CN) -> None:
    # Calibration of the class scores of a trained detector or ImageClassifier at test time: "" (none), "NorCal",
    # "FRACAL" (detectors only), "LogitAdjustment" or "TauNormalization". It does not change the training.
    cfg.MODEL.ROI_HEADS.CALIBRATION = CN()
    cfg.MODEL.ROI_HEADS.CALIBRATION.NAME = ""
    # NorCal: gamma >= 0, exponent of the image counts that the scores are divided by. 0 changes nothing.
    cfg.MODEL.ROI_HEADS.CALIBRATION.GAMMA = 0.6
    # Alternatives that the paper of NorCal compares. FACTOR: factor of a category with n training images: "power",
    # n^-gamma, or "effective_number", (1 - beta) / (1 - beta^n), with beta in (0, 1).
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL = CN()
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.FACTOR = "power"
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.BETA = 0.999
    # Values that the factors multiply: "probabilities" or "logits".
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.SCALED = "probabilities"
    # Whether the scaled probabilities of a proposal are normalized again. Scaled logits always are.
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.NORMALIZE = True
    # tau >= 0. LogitAdjustment: factor of the log priors that are subtracted from the logits. TauNormalization: power
    # of the norms by which the weights of a linear classifier are divided. 0 changes nothing.
    cfg.MODEL.ROI_HEADS.CALIBRATION.TAU = 1.0
    # FRACAL: lambda >= 0, exponent of the fractal dimensions that the scores are divided by.
    cfg.MODEL.ROI_HEADS.CALIBRATION.LAMBDA = 2.0
    # Source of the class counts. "dataset": annotations of DATASETS.TRAIN. Any other value: path of a file, relative to
    # the working directory. A CSV file has the columns category_id, image_count, instance_count and, for FRACAL,
    # fractal_dimension (tools/analyze_dataset.py --statistics). NorCal and LogitAdjustment also read a JSON file with
    # class counts (tools/record_class_counts.py).
    cfg.MODEL.ROI_HEADS.CALIBRATION.COUNTS = "dataset"
    # FRACAL: link function from the frequency p of a category to its class weight, see CLS_LOSS.IIF.LINK. "base10",
    # -log10 p, is the authors' choice. "none": all class weights are 0.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL = CN()
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.LINK = "base10"
    # "images": p is the share of the training images with the category. "instances": its share of the instances.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.FREQUENCY = "images"
    # FRACAL with a CSV file in CALIBRATION.COUNTS: number of training images, 100170 for LVIS v1.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.NUM_IMAGES = 0
