"""Find the image files that belong to the image names in an annotation file from a labelling tool.

The name of an image in such a file can be a URL, a file name with a prefix, or a path on another machine.
"""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote

from seesaw_d2.data.images.lookup import files_below, folded

# Matches the prefix that Label Studio adds to file names, such as "0a1b2c3d-" for uploaded files and "0a1b2c3d__" for
# downloaded files.
_PREFIX = re.compile(r"^[0-9a-f]{8}(-|__)")
# Matches the start of Label Studio's image names, which is the upload folder of the server, such as "/data/upload/7/".
# The start is removed, because the exported image folder does not contain this folder.
_UPLOADS = re.compile(r"^(\w+://[^/]+)?/?data/upload/(\d+/)?")


class ExportedFiles:
    """Files in an image folder and its subfolders, with methods that find the file of an image name.

    Args:
        root: path of the image folder.

    Attributes:
        root: path of the image folder.
        below: paths of the files, the hidden files, and other items such as broken links. All are relative to ``root``.
    """

    def __init__(self, root: Path):
        self.root = root
        self.below = files_below(root)
        self._by_name: dict[str, list[PurePosixPath]] = defaultdict(list)
        self._by_folded: dict[str, list[str]] = defaultdict(list)
        for path in self.below.files:
            pure = PurePosixPath(path)
            self._by_name[pure.name].append(pure)
            self._by_folded[folded(pure.name)].append(path)

    def meant(self, name: str, beside: Path, others: Sequence[Path] = ()) -> list[str]:
        """Find the files to which an image name in an exported annotation file can refer.

        The name may be percent-encoded or contain backslashes. The search has three steps:

        1. If the name is the path of an existing file relative to ``root`` or ``beside``, return this file.
        2. Otherwise, look for files with the same file name in all subfolders of ``root``. Return those whose last
           folders agree best with the last folders in the image name.
        3. If no file was found, repeat both steps without the prefix that Label Studio adds to file names.

        Args:
            name: "file_name" of the image in the annotation file.
            beside: folder of the annotation file.
            others: folders of all annotation files. Files below the folder of another annotation file are used only if
                no other file matches.

        Returns:
            paths relative to ``root``. Several paths mean that the name is ambiguous.
        """
        names = _decoded(name)
        for texts in (names, _without_prefix(names)):
            exact = (self._at(base, text) for base in (self.root, beside) for text in texts)
            found = next((path for path in exact if path is not None), None)
            if found is not None:
                return [found]
            near = self._of_this_name(texts)
            own = [path for path in near if not self._is_below(path, beside, others)]
            if near:
                return self._different(own or near)
        return []

    def near(self, name: str) -> dict[str, list[str]]:
        """Find files whose names differ from an image name only in case, Unicode form or extension.

        An error message suggests these files if the image has no file.

        Returns:
            a dict with one key, the image name, whose value lists the paths of the similar files. An empty dict if no
            similar files exist.
        """
        names = _decoded(name)
        for text in (*names, *_without_prefix(names)):
            found = self._by_folded.get(folded(PurePosixPath(text).name))
            if found:
                return {text: found}
        return {}

    def in_another_folder(self, name: str, path: str) -> bool:
        """Return True if the folders in an image name contradict the folders of the file, as in a/1.jpg and b/1.jpg.

        Args:
            name: "file_name" of the image in the annotation file.
            path: path of the file that was found for this image, relative to ``root``.
        """
        names = _decoded(name)
        parts = [PurePosixPath(_UPLOADS.sub("", text)).parts for text in (*names, *_without_prefix(names))]
        own = PurePosixPath(path).parts
        return all(_common_end(own, each) < min(len(each), len(own)) for each in parts)

    def _is_below(self, path: str, beside: Path, others: Sequence[Path]) -> bool:
        """Return True if an image file is in the folder of another annotation file, and probably belongs to that file.

        Folders that contain ``beside`` do not count.

        Args:
            path: path of the image file relative to ``root``.
            beside: folder of the annotation file that contains the image name.
            others: folders of all annotation files.
        """
        own, *folders = (Path(os.path.abspath(folder)) for folder in (beside, *others))
        above = set(Path(os.path.abspath(self.root / path)).parents)
        return any(folder in above for folder in folders if folder not in (own, *own.parents))

    def _different(self, paths: list[str]) -> list[str]:
        """Remove paths that lead to the same file as an earlier path in the list, because of symbolic links."""
        if len(paths) < 2:
            return paths
        return list({os.path.realpath(self.root / path): path for path in reversed(paths)}.values())[::-1]

    def _at(self, base: Path, text: str) -> str | None:
        root, path = os.path.abspath(self.root), os.path.normpath(os.path.join(os.path.abspath(base), text))
        below = path.startswith(os.path.join(root, "")) and os.path.isfile(path)
        return os.path.relpath(path, root) if below else None

    def _of_this_name(self, texts: Sequence[str]) -> list[str]:
        found: dict[str, int] = {}
        for text in texts:
            parts = PurePosixPath(_UPLOADS.sub("", text)).parts
            for path in self._by_name.get(parts[-1], ()):
                found[str(path)] = max(found.get(str(path), 0), _common_end(path.parts, parts))
        longest = max(found.values(), default=0)
        return sorted(path for path, length in found.items() if length == longest)


def _decoded(name: str) -> list[str]:
    """Return the paths that an image name can mean: the name itself, a Windows path, or the path in a URL."""
    path, _, query = name.partition("?")
    texts = [name, name.replace("\\", "/"), unquote(path).replace("\\", "/")]
    # In Label Studio, the URL of a local file looks like /data/local-files/?d=folder%2Fa.jpg. The parameter d is the
    # path.
    texts += [text.replace("\\", "/") for text in parse_qs(query).get("d", [])]
    return [text for text in dict.fromkeys(texts) if PurePosixPath(text).name]


def _without_prefix(names: Sequence[str]) -> list[str]:
    paths = [(PurePosixPath(name).parent, _PREFIX.sub("", PurePosixPath(name).name)) for name in names]
    return [path for path in (str(parent / name) for parent, name in paths if name) if path not in names]


def _common_end(left: Sequence[str], right: Sequence[str]) -> int:
    pairs = zip(reversed(left), reversed(right), strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(left), len(right)))
