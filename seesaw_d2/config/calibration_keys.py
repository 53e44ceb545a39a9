"""Declare the config keys of MODEL.ROI_HEADS.CALIBRATION. Each comment describes the key below it."""

from detectron2.config import CfgNode as CN


def add_calibration(cfg: CN) -> None:
    # String. Name of the calibration, which corrects the class scores of a trained detector or ImageClassifier at test
    # time. Training does not use the keys of this node.
    #   "": no calibration.
    #   "NorCal": multiply the score of each category by a factor that decreases with its number of training images.
    #   "FRACAL": divide the score of each category by a power of the fractal dimension of its box centers, and increase
    #     the scores of categories with a low frequency. Only for detectors.
    #   "LogitAdjustment": subtract a multiple of the log frequency of each category from its logit.
    #   "TauNormalization": divide the weights of each category in a linear classifier by a power of their norm.
    cfg.MODEL.ROI_HEADS.CALIBRATION = CN()
    cfg.MODEL.ROI_HEADS.CALIBRATION.NAME = ""
    # Number >= 0. Exponent gamma of NorCal (Pan et al., NeurIPS 2021), which multiplies the score of a category with n
    # training images by n^-gamma. The value 0 does not change the scores.
    cfg.MODEL.ROI_HEADS.CALIBRATION.GAMMA = 0.6
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL = CN()
    # String. Factor by which NorCal multiplies the score of a category with n training images. The NorCal paper
    # compares both factors.
    #   "power": n^-gamma, where gamma is CALIBRATION.GAMMA.
    #   "effective_number": (1 - beta) / (1 - beta^n), where beta is CALIBRATION.NORCAL.BETA.
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.FACTOR = "power"
    # Number in (0, 1). Parameter beta of NorCal with CALIBRATION.NORCAL.FACTOR "effective_number", whose factor is
    # (1 - beta) / (1 - beta^n) for a category with n training images.
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.BETA = 0.999
    # String. Outputs of the model that NorCal multiplies by the factors of the categories: "probabilities" or "logits".
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.SCALED = "probabilities"
    # Boolean. Whether NorCal normalizes the probabilities of each proposal after it has multiplied them by the factors
    # of the categories. With CALIBRATION.NORCAL.SCALED "logits", the probabilities are always normalized.
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.NORMALIZE = True
    # Number >= 0. Parameter tau of two calibrations. The value 0 does not change the scores.
    #   LogitAdjustment subtracts tau * log p from the logit of each category, where p is the share of the training
    #     instances that belong to the category.
    #   TauNormalization divides the weights of each category in a linear classifier by norm^tau, where norm is the norm
    #     of these weights.
    cfg.MODEL.ROI_HEADS.CALIBRATION.TAU = 1.0
    # Number >= 0. Exponent lambda of FRACAL (Alexandridis et al., CVPR 2025), which divides the score of a category by
    # D^lambda. D is the fractal dimension of the box centers of the category. It is in [1, 2], and large if the box
    # centers are spread over the images.
    cfg.MODEL.ROI_HEADS.CALIBRATION.LAMBDA = 2.0
    # String. Source of the numbers of training images and instances of each category, which calibrations need.
    #   "dataset": the annotations of DATASETS.TRAIN.
    #   Path of a CSV file: columns category_id, image_count, instance_count and, for FRACAL, fractal_dimension.
    #     tools/analyze_dataset.py --statistics writes this file.
    #   Path of a JSON file with class counts, which tools/record_class_counts.py writes. FRACAL cannot use this file.
    # A relative path starts at the working directory.
    cfg.MODEL.ROI_HEADS.CALIBRATION.COUNTS = "dataset"
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL = CN()
    # String. Link function of FRACAL. It computes a weight from the frequency p of a category (see FRACAL.FREQUENCY).
    # Rare categories get large weights, which increase their scores.
    #   "base10": -log10 p, as in the authors' code.
    #   "none": all weights are 0.
    #   "raw", "base2", "prob", "normit", "gombit", "smooth": the function that the comment of
    #     MODEL.ROI_BOX_HEAD.CLS_LOSS.IIF.LINK describes under this name.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.LINK = "base10"
    # String. Definition of the frequency of a category, from which FRACAL computes the weight of the category.
    #   "images": the share of the training images that contain the category.
    #   "instances": the share of the training instances that belong to the category.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.FREQUENCY = "images"
    # Integer >= 0. Number of training images. FRACAL needs this number if FRACAL.FREQUENCY is "images" and
    # CALIBRATION.COUNTS is a CSV file, because the file does not contain it. LVIS v1 has 100170 training images.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.NUM_IMAGES = 0
