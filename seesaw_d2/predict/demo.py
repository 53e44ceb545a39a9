"""``demo.py``: a trained model on pictures or on a video."""

import argparse
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
from detectron2.config import CfgNode
from tqdm import tqdm

from seesaw_d2.data import training_frequency_groups
from seesaw_d2.drawing.model_output import draw_instances
from seesaw_d2.errors import ConfigError, OutputError, SeesawError
from seesaw_d2.predict.image_sources import Video, VideoWriter, check_pictures, find_pictures, is_video, read_picture
from seesaw_d2.predict.predictor import BatchPredictor, check_batch_options
from seesaw_d2.train import load_config
from seesaw_d2.train.preflight.job_checks import check_names, check_trained, resolve_device
from seesaw_d2.utils.atomic_files import make_folder

_EXAMPLE = (
    "for example: python demo.py --config-file configs/quickstart/mask_rcnn_glyphs_seesaw.yaml --input picture.png "
    "--output output/drawn --opts MODEL.WEIGHTS output/quickstart/model_final.pth"
)


class _Parser(argparse.ArgumentParser):
    """What is wrong with the arguments is a line and an example, as all else that is wrong."""

    def error(self, message):
        raise ConfigError(f"{message}; {_EXAMPLE}")


def parse(arguments) -> argparse.Namespace:
    """Detectron2's demo arguments.

    Raises:
        ConfigError: one is missing or unknown.
    """
    result = _Parser(description="A trained model on pictures or on a video.", epilog=_EXAMPLE)
    result.add_argument("--config-file", required=True, help="of the model")
    result.add_argument("--input", nargs="+", required=True, help="pictures, folders, patterns in quotes, or a video")
    result.add_argument("--output", required=True, help="a folder, or the file for one picture or video")
    result.add_argument("--confidence-threshold", type=float, default=0.5, help="0 to 1: detections below are left out")
    result.add_argument("--batch-size", type=int, default=1, help="pictures of one size that share a forward pass")
    result.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16: what layers run in")
    result.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE ..., MODEL.WEIGHTS path")
    args, rest = result.parse_known_args(arguments)
    if rest:
        raise ConfigError(f"{' '.join(rest)}: unknown; config keys stand at the end, after --opts, {_EXAMPLE}")
    return args


def main(arguments=None) -> int:
    """Parse, check, draw. Returns the exit status: 0, or 2 for a mistake in what was given (printed)."""
    try:
        args = parse(arguments)
        check_batch_options(args.batch_size, args.dtype)
        if not 0 <= args.confidence_threshold <= 1:
            raise ConfigError(f"--confidence-threshold: expected 0 to 1, found {args.confidence_threshold}")
        cfg = load_config(args.config_file, args.opts)
        resolve_device(cfg)
        check_names(cfg)
        check_trained(cfg, f"add --opts MODEL.WEIGHTS path, {_EXAMPLE}")
        video = len(args.input) == 1 and is_video(args.input[0])
        source = Video(args.input[0]) if video else find_pictures(args.input)
        if not video:
            check_pictures(source)
        targets = [video_target(source, args.output)] if video else picture_targets(source, args.output)
        predictor = BatchPredictor(cfg, args.batch_size, args.dtype)
        draw = painter(cfg, predictor, args.confidence_threshold)
        written = draw_video(source, *targets, draw) if video else draw_pictures(source, targets, draw)
    except SeesawError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{written} written to {args.output}")
    return 0


Painter = Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]


def painter(cfg: CfgNode, predictor: BatchPredictor, min_score: float) -> Painter:
    """A function from pictures to the pictures with detections, each (H, W, 3) uint8 BGR, in order."""
    names = predictor.class_names
    if predictor.unknown_data:  # the data is elsewhere: pictures without names and groups
        print(f"classes are numbered, as the data sets are not at hand: {predictor.unknown_data}")
    groups = training_frequency_groups(cfg)

    def draw(pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        waiting: deque[np.ndarray] = deque()

        def remembered():
            for picture in pictures:
                waiting.append(picture)
                yield picture

        for instances in predictor(remembered()):
            picture = waiting.popleft()
            drawn = draw_instances(picture[:, :, ::-1], instances, names, groups, min_score)
            yield np.ascontiguousarray(drawn[:, :, ::-1])

    return draw


def picture_targets(paths: list[str], output: str) -> list[str]:
    """A file for each picture: in the folder ``output``, or that file if there is one and it has a picture's ending.

    In a folder, ".png" is added to names without the ending of a format that can be written.

    Raises:
        ConfigError: a format that cannot be written, two of one name, or a picture itself.
    """
    single = len(paths) == 1 and os.path.splitext(output)[1] != "" and not os.path.isdir(output)
    targets = [output] if single else [os.path.join(output, _writable_name(path)) for path in paths]
    taken: dict[str, str] = {}
    inputs = {os.path.realpath(path) for path in paths}
    for path, target in zip(paths, targets, strict=True):
        if not cv2.haveImageWriter(target):
            raise ConfigError(
                f"--output {target}: expected the ending of a format that can be written, such as .jpg or .png"
            )
        if os.path.realpath(target) in inputs:
            raise ConfigError(f"--output {output}: expected another place than the input's, whose {path} is there")
        if target in taken:
            raise ConfigError(f"--input: expected pictures of different names, found {taken[target]} and {path}")
        taken[target] = path
    return targets


def _writable_name(path: str) -> str:
    name = os.path.basename(path)
    return name if os.path.splitext(name)[1] and cv2.haveImageWriter(name) else f"{name}.png"


def draw_pictures(paths: list[str], targets: list[str], draw: Painter) -> str:
    """Draw each file into its target, all in one folder, which is made if it is not there."""
    make_folder(os.path.dirname(os.path.abspath(targets[0])))
    drawings = draw(map(read_picture, paths))
    for target, drawn in tqdm(
        zip(targets, drawings, strict=True), total=len(paths), unit="picture", disable=len(paths) < 2
    ):
        if not cv2.imwrite(target, drawn):
            raise OutputError(f"--output {target}: cannot be written")
    return f"{len(paths)} picture{'s' if len(paths) > 1 else ''}"


def video_target(video: Video, output: str) -> str:
    """The .mp4 file: ``output``, or in the folder of that name.

    Raises:
        ConfigError: it is the video itself.
    """
    name = os.path.splitext(os.path.basename(video.path))[0]
    target = output if is_video(output) else os.path.join(output, f"{name}.mp4")
    if os.path.realpath(target) == os.path.realpath(video.path):
        raise ConfigError(f"--output {target}: expected another file than the input")
    return target


def draw_video(video: Video, target: str, draw: Painter) -> str:
    """Draw every frame into the file, whose folder is made if it is not there."""
    make_folder(os.path.dirname(os.path.abspath(target)))
    writer, count = VideoWriter(target, video.rate), 0
    try:
        for drawn in tqdm(draw(video), total=video.length, unit="frame"):
            writer.write(drawn)
            count += 1
    except BaseException:
        writer.close(complete=False)
        raise
    writer.close()
    return f"a video of {count} frames"
