"""Declare the config keys of MODEL.ROI_HEADS.CALIBRATION. Each comment describes the key below it."""

from detectron2.config import CfgNode as CN


def add_calibration(cfg: CN) -> None:
    # String. Name of the calibration. A calibration corrects the class scores of a trained detector or ImageClassifier
    # at test time. Training does not use the keys of this node.
    #   "": no calibration.
    #   "NorCal": multiply the score of each category by a factor that decreases with its number of training images.
    #   "FRACAL": divide the score of each category by a power of its fractal dimension. Only for detectors.
    #   "LogitAdjustment": subtract a multiple of the log prior of each category from its logit.
    #   "TauNormalization": divide the weights of each category in a linear classifier by a power of their norm.
    cfg.MODEL.ROI_HEADS.CALIBRATION = CN()
    cfg.MODEL.ROI_HEADS.CALIBRATION.NAME = ""
    # Number >= 0. Exponent gamma of NorCal. The factor of a category with n training images is n^-gamma. The value 0
    # does not change the scores.
    cfg.MODEL.ROI_HEADS.CALIBRATION.GAMMA = 0.6
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL = CN()
    # String. Factor of NorCal for a category with n training images. The NorCal paper compares two factors.
    #   "power": n^-gamma, where gamma is CALIBRATION.GAMMA.
    #   "effective_number": (1 - beta) / (1 - beta^n), where beta is CALIBRATION.NORCAL.BETA.
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.FACTOR = "power"
    # Number in (0, 1). Parameter beta of the factor "effective_number".
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.BETA = 0.999
    # String. Values that NorCal multiplies by the factors: "probabilities" or "logits".
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.SCALED = "probabilities"
    # Boolean. Whether to normalize the scaled probabilities of each proposal. Scaled logits are always normalized.
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.NORMALIZE = True
    # Number >= 0. Parameter tau of two calibrations. The value 0 does not change the scores.
    #   LogitAdjustment subtracts tau times the log prior of each category from the logits.
    #   TauNormalization divides the weights of each category in a linear classifier by norm^tau.
    cfg.MODEL.ROI_HEADS.CALIBRATION.TAU = 1.0
    # Number >= 0. Exponent lambda of FRACAL. The score of a category with fractal dimension D is divided by D^lambda.
    cfg.MODEL.ROI_HEADS.CALIBRATION.LAMBDA = 2.0
    # String. Source of the class counts.
    #   "dataset": the annotations of DATASETS.TRAIN.
    #   Path of a CSV file: columns category_id, image_count, instance_count and, for FRACAL, fractal_dimension.
    #     tools/analyze_dataset.py --statistics writes this file.
    #   Path of a JSON file with class counts: tools/record_class_counts.py writes this file. FRACAL cannot use this
    #     file.
    # A relative path starts at the working directory.
    cfg.MODEL.ROI_HEADS.CALIBRATION.COUNTS = "dataset"
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL = CN()
    # String. Link function of FRACAL, which computes the weight of a category from the frequency p of the category.
    #   "base10": -log10 p, as in the authors' code.
    #   "none": all weights are 0.
    #   Other values: the link function that MODEL.ROI_BOX_HEAD.CLS_LOSS.IIF.LINK describes under the same name.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.LINK = "base10"
    # String. Definition of the frequency p of a category in FRACAL.
    #   "images": the share of the training images that contain the category.
    #   "instances": the share of the training instances that belong to the category.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.FREQUENCY = "images"
    # Integer >= 0. Number of training images. FRACAL needs this number if FREQUENCY is "images" and CALIBRATION.COUNTS
    # is a CSV file. LVIS v1 has 100170 training images.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.NUM_IMAGES = 0
