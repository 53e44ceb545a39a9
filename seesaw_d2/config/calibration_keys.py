"""Config keys of the calibration of class scores at test time."""

from detectron2.config import CfgNode as CN


def add_calibration(cfg: CN) -> None:
    # Calibration of the class scores of a trained detector or ImageClassifier at test time: "" (no calibration),
    # "NorCal", "FRACAL" (only for detectors), "LogitAdjustment" or "TauNormalization". Training does not use it.
    cfg.MODEL.ROI_HEADS.CALIBRATION = CN()
    cfg.MODEL.ROI_HEADS.CALIBRATION.NAME = ""
    # NorCal: gamma >= 0. NorCal multiplies the score of a category with n training images by n^-gamma. 0 does not
    # change the scores.
    cfg.MODEL.ROI_HEADS.CALIBRATION.GAMMA = 0.6
    # Alternatives that the NorCal paper compares. FACTOR selects the factor of a category with n training images:
    # "power" is n^-gamma, "effective_number" is (1 - beta) / (1 - beta^n) with BETA, beta in (0, 1).
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL = CN()
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.FACTOR = "power"
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.BETA = 0.999
    # Values that NorCal multiplies by the factors: "probabilities" or "logits".
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.SCALED = "probabilities"
    # Whether to normalize the scaled probabilities of each proposal. Scaled logits are always normalized.
    cfg.MODEL.ROI_HEADS.CALIBRATION.NORCAL.NORMALIZE = True
    # tau >= 0. LogitAdjustment subtracts tau times the log prior of each category from the logits. TauNormalization
    # divides the weights of each category in a linear classifier by norm^tau. 0 does not change the scores.
    cfg.MODEL.ROI_HEADS.CALIBRATION.TAU = 1.0
    # FRACAL: lambda >= 0. FRACAL divides the score of a category with fractal dimension D by D^lambda.
    cfg.MODEL.ROI_HEADS.CALIBRATION.LAMBDA = 2.0
    # Source of the class counts. "dataset": the annotations of DATASETS.TRAIN. Any other value is the path of a file,
    # relative to the working directory. A CSV file has the columns category_id, image_count, instance_count and, for
    # FRACAL, fractal_dimension (tools/analyze_dataset.py --statistics). NorCal and LogitAdjustment also read a JSON
    # file with class counts (tools/record_class_counts.py).
    cfg.MODEL.ROI_HEADS.CALIBRATION.COUNTS = "dataset"
    # FRACAL: link function, which maps the frequency p of a category to a class weight. CLS_LOSS.IIF.LINK describes the
    # values. The authors use "base10", -log10 p. "none": all class weights are 0.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL = CN()
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.LINK = "base10"
    # FRACAL: definition of p. "images": the share of the training images that contain the category. "instances": the
    # share of the category in the training instances.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.FREQUENCY = "images"
    # FRACAL: number of training images, which a CSV file in CALIBRATION.COUNTS does not contain. LVIS v1 has 100170.
    cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.NUM_IMAGES = 0
