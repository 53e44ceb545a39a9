"""Implement ``demo.py``, which draws the detections of a trained model on images or on a video."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
from detectron2.config import CfgNode
from tqdm import tqdm

from seesaw_d2.arguments import DEMO_EXAMPLE, demo_parser
from seesaw_d2.config.loading import load_config
from seesaw_d2.data import training_frequency_groups
from seesaw_d2.drawing.model_output import READABLE_SIZE, draw_instances
from seesaw_d2.errors import ConfigError, OutputError, SeesawError
from seesaw_d2.predict.image_sources import Video, VideoWriter, check_images, find_images, is_video, read_image
from seesaw_d2.predict.predictor import BatchPredictor, check_batch_options
from seesaw_d2.predict.score_limit import warn_of_threshold
from seesaw_d2.train.preflight.config_checks import check_names, resolve_device
from seesaw_d2.train.preflight.keys import check_written, written_layers
from seesaw_d2.train.preflight.start_weights import check_trained
from seesaw_d2.utils.atomic_files import atomic_file, make_folder
from seesaw_d2.utils.messages import first_few, shortened
from seesaw_d2.utils.own_files import DRAWN, is_drawn
from seesaw_d2.utils.plain_values import encodable


def main(arguments=None) -> int:
    """Parse the command line of ``demo.py`` and run the demo. Return the exit status, 0 or 2.

    ``arguments`` are the command-line arguments. If None, use ``sys.argv``.
    """
    return start(demo_parser().parse_args(arguments))


def start(args) -> int:
    """Draw the detections on the input images or video. Return the exit status: 0, or 2 after a printed error.

    ``args`` are the arguments that ``demo_parser`` parsed.
    """
    try:
        check_batch_options(args.batch_size, args.dtype)
        if not 0 <= args.confidence_threshold <= 1:
            raise ConfigError(
                f"--confidence-threshold: expected a number from 0 to 1, found {args.confidence_threshold}"
            )
        cfg = load_config(args.config_file, args.opts)
        resolve_device(cfg, training=False)
        check_names(cfg)
        check_written(cfg, written_layers(args.config_file, args.opts))
        check_trained(cfg, f"Add --opts MODEL.WEIGHTS path. {DEMO_EXAMPLE}")
        warn_of_threshold(cfg, args.confidence_threshold)
        video = len(args.input) == 1 and is_video(args.input[0])
        check_encodable("--output", [args.output])
        check_encodable("--input", args.input)
        source = Video(args.input[0]) if video else find_images(args.input)
        if not video:
            check_encodable("--input", source)
            check_images(source)
        targets = [video_target(source, args.output)] if video else image_targets(source, args.output)
        check_targets(targets, overwrite=args.overwrite)
        predictor = BatchPredictor(cfg, args.batch_size, args.dtype)
        draw = painter(cfg, predictor, args.confidence_threshold)
        written = draw_video(source, *targets, draw) if video else draw_images(source, targets, draw)
    except SeesawError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{written} written to {args.output}")
    return 0


# The program writes no drawings to files with these extensions, because their formats cannot store colors.
_WITHOUT_COLORS = (".pbm", ".pgm")
Painter = Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]


def painter(cfg: CfgNode, predictor: BatchPredictor, min_score: float) -> Painter:
    """Return a function that detects objects in images, and draws the detections.

    The function maps an iterable of images to an iterator of drawings. Images and drawings are uint8 arrays (height,
    width, 3) in BGR. Images whose longer side has fewer than 512 pixels (``READABLE_SIZE``) are enlarged.

    Args:
        cfg: config of the model.
        predictor: a ``BatchPredictor`` of the model.
        min_score: minimum score of drawn detections, in [0, 1].
    """
    names = predictor.class_names
    if predictor.unknown_data:
        print(
            "Drawing numbers instead of class names, because the datasets of the config cannot be read: "
            f"{predictor.unknown_data}"
        )
    groups = training_frequency_groups(cfg, len(names))

    def draw(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        waiting: deque[np.ndarray] = deque()

        def remembered():
            for image in images:
                waiting.append(image)
                yield image

        for instances in predictor(remembered()):
            image = waiting.popleft()
            drawn = draw_instances(image[:, :, ::-1], instances, names, groups, min_score, READABLE_SIZE)
            yield np.ascontiguousarray(drawn[:, :, ::-1])

    return draw


def image_targets(paths: list[str], output: str) -> list[str]:
    """Return the path of the output file for each image.

    Args:
        paths: paths of the input images.
        output: value of ``--output``. For a single image, this is the output file if it has an extension and is not a
            folder. In all other cases, this is the output folder, and an output file has the name of its image. If
            OpenCV cannot write colors in the format of an image, ".png" is appended to the name.

    Raises:
        ConfigError: OpenCV cannot write the format, two images have the same name, or an output file is an input.
    """
    single = len(paths) == 1 and os.path.splitext(output)[1] != "" and not os.path.isdir(output)
    targets = [output] if single else [os.path.join(output, _writable_name(path)) for path in paths]
    taken: dict[str, str] = {}
    inputs = {os.path.realpath(path) for path in paths}
    for path, target in zip(paths, targets, strict=True):
        if not _is_writable(target):
            raise ConfigError(
                f"--output {target}: expected the extension of an image format that OpenCV can write in colors, such "
                f"as .jpg or .png, found {os.path.splitext(target)[1]!r}"
            )
        if os.path.realpath(target) in inputs:
            raise ConfigError(f"--output {output}: expected a new file or folder, found the path of the input {path}")
        if target in taken:
            raise ConfigError(
                f"--input: expected images with different file names, found {taken[target]} and {path}. Both drawings "
                f"would be written to {target}. Draw these images with separate commands"
            )
        taken[target] = path
    return targets


def _writable_name(path: str) -> str:
    name = os.path.basename(path)
    return name if _is_writable(name) else f"{name}.png"


def _is_writable(name: str) -> bool:
    extension = os.path.splitext(name)[1].lower()
    return extension not in ("", *_WITHOUT_COLORS) and cv2.haveImageWriter(name)


def check_encodable(key: str, paths: list[str]) -> None:
    """Raise ConfigError if a path is not valid UTF-8, because such a path would make OpenCV terminate the process.

    ``key`` is the command-line option that sets the paths, for the message.
    """
    if wrong := [path for path in paths if not encodable(path)]:
        raise ConfigError(f"{key}: expected file names in UTF-8, found {shortened(ascii(wrong[0]))}")


def check_targets(targets: list[str], *, overwrite: bool) -> None:
    """Raise ConfigError if an output file exists and must not be replaced.

    Args:
        targets: paths of the output files.
        overwrite: if True, files that demo.py wrote may be replaced. If False, no file may be replaced.
    """
    existing = [target for target in targets if os.path.lexists(target)]
    if existing and not overwrite:
        raise ConfigError(
            f"--output: expected paths of new files, found existing files: {first_few(existing)}. Choose another "
            "output, or add --overwrite to replace files that demo.py wrote"
        )
    if other := [target for target in existing if not is_drawn(target)]:
        raise ConfigError(
            "--output: expected new files or files that demo.py wrote, found files that demo.py did not write: "
            f"{first_few(other)}. --overwrite does not replace such files. Choose another output"
        )


def draw_images(paths: list[str], targets: list[str], draw: Painter) -> str:
    """Draw detections on each image, and write the drawings. Return a text such as "2 images" for a message.

    A missing output folder is created.

    Args:
        paths: paths of the images.
        targets: path of the output file for each image.
        draw: function that maps an iterable of images to drawings with detections (see ``painter``).
    """
    make_folder(os.path.dirname(os.path.abspath(targets[0])))
    drawings = draw(map(read_image, paths))
    for target, drawn in tqdm(
        zip(targets, drawings, strict=True), total=len(paths), unit="image", disable=len(paths) < 2
    ):
        done, content = cv2.imencode(os.path.splitext(target)[1], drawn)
        if not done:
            raise OutputError(f"--output {target}: OpenCV cannot encode the image in this format. Use .png instead")
        with atomic_file(target) as file:
            file.write(content.tobytes() + DRAWN)
    return f"{len(paths)} image{'s' if len(paths) > 1 else ''}"


def video_target(video: Video, output: str) -> str:
    """Return the path of the output video.

    Args:
        video: the input video.
        output: value of ``--output``. If it has a video extension, this is the output video. Otherwise, this is a
            folder, and the output video has the name of the input video with the extension .mp4.

    Raises:
        ConfigError: the output file is the input file.
    """
    name = os.path.splitext(os.path.basename(video.path))[0]
    target = output if is_video(output) else os.path.join(output, f"{name}.mp4")
    if os.path.realpath(target) == os.path.realpath(video.path):
        raise ConfigError(f"--output {target}: expected a new file, found the input video")
    return target


def draw_video(video: Video, target: str, draw: Painter) -> str:
    """Draw detections on all frames, and write a video. Return a text such as "a video of 10 frames" for a message.

    A missing output folder is created.

    Args:
        video: the input video.
        target: path of the output video.
        draw: function that maps an iterable of frames to drawings with detections (see ``painter``).
    """
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
