"""Declare the config keys of datasets and of loading images. Each comment describes the key below it."""

from detectron2.config import CfgNode as CN


def add_datasets(cfg: CN) -> None:
    # List of mappings. Each mapping registers a dataset, so that DATASETS.TRAIN and DATASETS.TEST can name it. Relative
    # paths start at the working directory. A mapping has these keys:
    #   NAME: name of the dataset in DATASETS.TRAIN and DATASETS.TEST.
    #   JSON: annotation file in LVIS or COCO format.
    #   IMAGES: folder of the image files. In COCO format, file_name is the path of an image below this folder. In LVIS
    #     format, this path is the last two parts of coco_url, such as val2017/000000000139.jpg, or file_name if
    #     coco_url is missing.
    #   FORMAT: "lvis", "coco" or "auto" (default). "auto" selects "lvis" if all images have neg_category_ids, and
    #     "coco" if no image has neg_category_ids or not_exhaustive_category_ids. For other files, set "lvis" or "coco".
    # For semantic segmentation (docs/semantic.md), a mapping has two more keys:
    #   SEM_SEG: folder of label maps, which are 8-bit gray PNG files with the same paths as the images below IMAGES.
    #   SEM_SEG_CLASSES: JSON file of the classes, {"classes": [{"name": ..., "image_count": ...}, ...]}.
    # For image classification, one of these keys replaces JSON:
    #   LIST: text file with "path label" in each line (the format of ImageNet-LT). Requires IMAGES and CLASSES.
    #   CSV: CSV file with the columns path and label (an index or a name). Requires IMAGES and CLASSES.
    #   FOLDER: folder with one subfolder of images for each class. CLASSES is optional. Hidden files are ignored.
    #   INATURALIST: annotation file of iNaturalist 2018. Requires IMAGES.
    #   CIFAR: folder of the Python version of CIFAR-10 or CIFAR-100. Requires SPLIT, "train" or "test".
    #   NPZ: .npz file with three NumPy arrays. For N images, "images" is uint8 (N, height, width) or (N, height, width,
    #     3), and "labels" is integer (N,). "names" contains one name for each class.
    #   DIGITS: split of scikit-learn's 1,797 handwritten digits, "train" or "test".
    # For image classification, a mapping has three more keys:
    #   CLASSES: number of classes, or the path of a text file with one class name in each line.
    #   IMBALANCE: number r >= 1. Select a long-tailed subset. With C classes and N images in the largest class, the
    #     subset has N r^(-i / (C - 1)) images of class i = 0, ..., C - 1, so N / r images of the last class.
    #   SEED: seed of the random selection for IMBALANCE (default 0).
    cfg.DATASETS.REGISTER = []
    # List [r, c] of two integers 1 <= r < c. Limits of the frequency groups in metrics such as APr, APc and APf. A
    # category is rare with at most r training images, frequent with more than c, and common otherwise. The default is
    # the definition of LVIS. In image classification, the groups are called few, medium and many shots, and their usual
    # limits are [19, 100].
    cfg.DATASETS.FREQUENCY_THRESHOLDS = [10, 100]


def add_loading(cfg: CN) -> None:
    # DATALOADER.SAMPLER_TRAIN, a key of Detectron2, has three additional values, from Kang et al. (ICLR 2020):
    #   "ClassAwareSampler" draws a category uniformly, then an image that contains the category (class-balanced
    #     sampling).
    #   "SquareRootSampler" draws a category with a probability proportional to the square root of its number of images,
    #     then an image that contains the category.
    #   "ProgressivelyBalancedSampler" draws images uniformly at the start of the training and categories uniformly at
    #     the end. During the training, it interpolates linearly between the two distributions.
    # The order and the augmentation of the images depend only on the training step and on SEED, another key of
    # Detectron2. With the weighted samplers of Detectron2's main branch, they also depend on DATALOADER.NUM_WORKERS.
    # With SEED -1, the run draws a random seed and saves it.

    # String. Method that resizes images and masks for a detector, in training and at test time.
    #   "pillow": bilinear with antialiasing, as in Detectron2.
    #   "pytorch": the filter of "pillow", but three times as fast. About 0.2 % of the pixel values differ by 1 of 255.
    #   "opencv": bilinear without antialiasing, as in MMDetection. Use this value for models that MMDetection trained.
    cfg.INPUT.RESIZE = "pillow"
    # Boolean. Whether to skip image files that are missing or cannot be decoded.
    #   True: log a warning and skip the image. In evaluation, all objects of a skipped image count as missed.
    #   False: raise an error that names the file.
    cfg.DATALOADER.SKIP_BAD_IMAGES = False
    # String. How RepeatFactorTrainingSampler (see DATALOADER.SAMPLER_TRAIN) rounds the repeat factor of an image. The
    # rounded factor is the number of times that an epoch contains the image.
    #   "stochastic": randomly up or down in every epoch, as in Detectron2. For example, 2.3 becomes 2 or 3.
    #   "ceil": always up, as in MMDetection.
    cfg.DATALOADER.REPEAT_ROUNDING = "stochastic"
    # String. What RepeatFactorTrainingSampler uses as the frequency of a category. It repeats the images that contain
    # categories with a low frequency.
    #   "images": the share of the images that contain the category (Gupta et al., CVPR 2019).
    #   "instances": the geometric mean of the share of the images that contain the category and the share of the
    #     instances that belong to the category (IRFS; Yaman et al., 2023).
    cfg.DATALOADER.REPEAT_FREQUENCY = "images"


def add_copy_paste(cfg: CN) -> None:
    # Boolean. Whether to paste objects of rare categories into training images (Copy-Paste; Ghiasi et al., CVPR 2021).
    # Copy-Paste requires MODEL.MASK_ON True and INPUT.MASK_FORMAT "bitmask". The masks in the annotation file can be
    # polygons or run-length encodings.
    cfg.INPUT.COPY_PASTE = CN()
    cfg.INPUT.COPY_PASTE.ENABLED = False
    # Number t > 0. Copy-Paste pastes only objects of rare categories. A category is rare if the share f of the training
    # images that contain it is below t. Each object of a rare category is pasted sqrt(t / f) - 1 times per epoch on
    # average.
    cfg.INPUT.COPY_PASTE.THRESHOLD = 1e-3
