"""``demo.py``: a trained model on pictures or on a video."""

import argparse
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from tqdm import tqdm

from seesaw_d2.data import register_datasets, training_frequency_groups
from seesaw_d2.data.catalog import class_names
from seesaw_d2.engine import load_config
from seesaw_d2.engine.checks import check_names, check_weights, resolve_device
from seesaw_d2.engine.predictor import BatchPredictor, check_batch_options
from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.report.drawing import draw_instances
from seesaw_d2.report.inputs import Video, VideoWriter, find_pictures, is_video, read_picture
from seesaw_d2.utils.atomic import make_folder


def parser() -> argparse.ArgumentParser:
    """Detectron2's demo arguments."""
    result = argparse.ArgumentParser(description="A trained model on pictures or on a video.")
    result.add_argument("--config-file", required=True, help="of the model")
    result.add_argument("--input", nargs="+", required=True, help="pictures, folders, patterns in quotes, or a video")
    result.add_argument("--output", required=True, help="a folder, or the file for one picture or video")
    result.add_argument("--confidence-threshold", type=float, default=0.5, help="detections below are left out")
    result.add_argument("--batch-size", type=int, default=1, help="pictures of one size that share a forward pass")
    result.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16: what layers run in")
    result.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE ..., MODEL.WEIGHTS path")
    return result


def main(arguments=None) -> int:
    """Parse, check, draw. Returns the exit status: 0, or 2 for a mistake in what was given (printed)."""
    args = parser().parse_args(arguments)
    try:
        check_batch_options(args.batch_size, args.dtype)
        cfg = load_config(args.config_file, args.opts)
        resolve_device(cfg)
        check_names(cfg)
        if not cfg.MODEL.WEIGHTS:
            raise ConfigError("MODEL.WEIGHTS: expected the model's weights, found none; add --opts MODEL.WEIGHTS path")
        check_weights(cfg, eval_only=True, resume=False)
        register_datasets(cfg)
        video = len(args.input) == 1 and is_video(args.input[0])
        source = Video(args.input[0]) if video else find_pictures(args.input)
        predictor = BatchPredictor(cfg, args.batch_size, args.dtype)
        draw = painter(cfg, predictor, args.confidence_threshold)
        written = draw_video(source, args, draw) if video else draw_pictures(source, args.output, draw)
    except SeesawError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{written} written to {args.output}")
    return 0


Painter = Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]


def painter(cfg: CfgNode, predictor: BatchPredictor, min_score: float) -> Painter:
    """A function from pictures to the pictures with detections, each (H, W, 3) uint8 BGR, in order."""
    dataset = next(iter((*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN)), None)
    names, groups, metadata = None, None, None
    try:
        names, metadata = (class_names(dataset), MetadataCatalog.get(dataset)) if dataset else (None, None)
        groups = training_frequency_groups(cfg)
    except SeesawError:
        pass  # the training data is elsewhere: pictures without names or groups
    names = names or [f"category {index}" for index in range(cfg.MODEL.ROI_HEADS.NUM_CLASSES)]

    def draw(pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        waiting: deque[np.ndarray] = deque()

        def remembered():
            for picture in pictures:
                waiting.append(picture)
                yield picture

        for instances in predictor(remembered()):
            picture = waiting.popleft()
            drawn = draw_instances(picture[:, :, ::-1], instances, names, groups, min_score, metadata)
            yield np.ascontiguousarray(drawn[:, :, ::-1])

    return draw


def draw_pictures(paths: list[str], output: str, draw: Painter) -> str:
    """Draw each file into the folder ``output``, or into that file if there is one and it has a picture's ending."""
    single = len(paths) == 1 and os.path.splitext(output)[1] != "" and not os.path.isdir(output)
    make_folder(os.path.dirname(os.path.abspath(output)) if single else output)
    drawings = draw(map(read_picture, paths))
    for path, drawn in tqdm(
        zip(paths, drawings, strict=True), total=len(paths), unit="picture", disable=len(paths) < 2
    ):
        target = output if single else os.path.join(output, os.path.basename(path))
        if not cv2.imwrite(target, drawn):
            raise ConfigError(f"--output {target}: cannot be written; expected a folder or a name like out.jpg")
    return f"{len(paths)} picture{'s' if len(paths) > 1 else ''}"


def draw_video(video: Video, args, draw: Painter) -> str:
    """Draw every frame into an .mp4 file."""
    target = args.output
    if not is_video(target):
        make_folder(target)
        target = os.path.join(target, os.path.splitext(os.path.basename(args.input[0]))[0] + ".mp4")
    writer, count = VideoWriter(target, video.rate), 0
    for drawn in tqdm(draw(video), total=video.length, unit="frame"):
        writer.write(drawn)
        count += 1
    writer.close()
    return f"a video of {count} frames"
