"""Declare the config keys of MODEL.ROI_HEADS.CALIBRATION. Each comment describes the key below it."""

from detectron2.config import CfgNode as CN


def add_calibration(cfg: CN) -> None:
    # String. Calibration that corrects the class scores of a detector or ImageClassifier. It has no effect in training.
    #   "": no calibration.
    #   "NorCal": multiply the score of each category by a factor that decreases with its number of training images.
    #   "FRACAL": divide the score of each category by a power of the fractal dimension of its box centers, and increase
    #     the scores of categories with a low frequency. Only for detectors.
    #   "LogitAdjustment": subtract a multiple of the log frequency of each category from its logit.
    #   "TauNormalization": divide the weight vector of each category in a linear classifier by a power of its norm.
    cfg.MODEL.ROI_HEADS.CALIBRATION = CN()
    cfg.MODEL.ROI_HEADS.CALIBRATION.NAME = ""
    # Number >= 0. Exponent gamma of NorCal (Pan et al., NeurIPS 2021). NorCal multiplies the score of a category with n
    # training images by n^-gamma. Large values lower the scores of frequent categories more. 0 does not change them.
    cfg.MODEL.ROI_HEADS.CALIBRATION.GAMMA = 0.6
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL = CN()
    # String. Factor by which NorCal multiplies the score of a category with n training images. The NorCal paper
    # compares both factors.
    #   "power": n^-gamma, where gamma is CALIBRATION.GAMMA.
    #   "effective_number": (1 - beta) / (1 - beta^n), where beta is CALIBRATION.NORCAL.BETA.
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.FACTOR = "power"
    # Number in (0, 1). Parameter beta of NorCal. It applies only if CALIBRATION.NORCAL.FACTOR is "effective_number".
    # Then NorCal multiplies the score of a category with n training images by (1 - beta) / (1 - beta^n).
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.BETA = 0.999
    # String. What NorCal multiplies by the factor of each category: the "logits", which are the outputs of the
    # classifier, or the "probabilities", which the softmax or the sigmoids compute from the logits.
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.SCALED = "probabilities"
    # Boolean. Whether NorCal normalizes the probabilities of each proposal again, after it has multiplied them by the
    # factors of the categories. This key has no effect if CALIBRATION.NORCAL.SCALED is "logits".
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.NORMALIZE = True
    # Number >= 0. Parameter tau of two calibrations. Large values change the scores more. 0 does not change them.
    #   LogitAdjustment subtracts tau * log p from the logit of each category. The frequency p is the share of the
    #     training instances that belong to the category.
    #   TauNormalization divides the weight vector of each category in a linear classifier by norm^tau, where norm is
    #     the norm of this vector.
    cfg.MODEL.ROI_HEADS.CALIBRATION.TAU = 1.0
    # Number >= 0. Exponent lambda of FRACAL (Alexandridis et al., CVPR 2025). FRACAL divides the score of a category by
    # D^lambda. D is the fractal dimension of the box centers of the category, from 1 to 2. D is large if the objects of
    # the category occur everywhere in the images. The value 0 ignores D.
    cfg.MODEL.ROI_HEADS.CALIBRATION.LAMBDA = 2.0
    # String. Where a calibration reads the number of training images and training instances of each category.
    #   "dataset": the annotations of DATASETS.TRAIN.
    #   Path of a CSV file with the columns category_id, image_count, instance_count and, for FRACAL, fractal_dimension.
    #     tools/analyze_dataset.py --statistics writes this file.
    #   Path of a JSON file with class counts, which tools/record_class_counts.py writes. FRACAL cannot use this file.
    # A relative path starts at the working directory.
    cfg.MODEL.ROI_HEADS.CALIBRATION.COUNTS = "dataset"
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL = CN()
    # String. Link function of FRACAL: how FRACAL computes a weight from the frequency p of a category. Rare categories
    # get large weights, which increase their scores. FRACAL.FREQUENCY defines p.
    #   "base10": -log10 p, as in the authors' code.
    #   "none": all weights are 0.
    #   "raw", "base2", "prob", "normit", "gombit", "smooth": the function that the comment of
    #     MODEL.ROI_BOX_HEAD.CLS_LOSS.IIF.LINK describes under this name.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.LINK = "base10"
    # String. What FRACAL uses as the frequency of a category.
    #   "images": the share of the training images that contain the category.
    #   "instances": the share of the training instances that belong to the category.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.FREQUENCY = "images"
    # Integer >= 0. Number of images in the training set, 100170 for LVIS v1. Set this key if FRACAL.FREQUENCY is
    # "images" and CALIBRATION.COUNTS is a CSV file, because the CSV file does not contain this number.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.NUM_IMAGES = 0
