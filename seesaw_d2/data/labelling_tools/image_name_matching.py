"""Match the image names in an export with the files below a folder.

In an export, the name of an image can be a URL, a file name with a prefix, or a path on another machine.
"""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote

from seesaw_d2.data.images.lookup import files_below, folded

# Prefix that Label Studio adds to the names of uploaded files ("-") and downloaded files ("__").
_PREFIX = re.compile(r"^[0-9a-f]{8}(-|__)")
# Folder of uploaded files on Label Studio's server. Image names in an export start with this folder, which the export
# itself does not contain.
_UPLOADS = re.compile(r"^(\w+://[^/]+)?/?data/upload/(\d+/)?")


class ExportedFiles:
    """Files in a folder and its subfolders, with methods that find the file of an image name.

    Args:
        root: path of the folder.

    Attributes:
        root: path of the folder.
        below: paths of the files, from ``files_below``.
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
        """Find the files to which an image name in an export can refer.

        The name may be percent-encoded or contain backslashes. If the name is the path of an existing file relative to
        ``root`` or ``beside``, the result is this file. Otherwise, the result consists of the files with the same file
        name whose last folders agree best with the last folders in the image name. If no file has this file name, the
        function repeats the search without Label Studio's prefix.

        Args:
            name: "file_name" in the export.
            beside: folder of the annotation file.
            others: folders of all annotation files. Files below the folder of another annotation file are used only if
                no other file matches.

        Returns:
            paths relative to ``root``.
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

        Returns:
            a dict from the decoded name to the similar files, or an empty dict if no similar files exist.
        """
        names = _decoded(name)
        for text in (*names, *_without_prefix(names)):
            found = self._by_folded.get(folded(PurePosixPath(text).name))
            if found:
                return {text: found}
        return {}

    def in_another_folder(self, name: str, path: str) -> bool:
        """Return True if the folders in an image name differ from the folders of the file.

        Args:
            name: "file_name" in the export.
            path: path of the file relative to ``root``.
        """
        ends = [_common_end(PurePosixPath(path).parts, PurePosixPath(text).parts) for text in _decoded(name)]
        parts = [len(PurePosixPath(text).parts) for text in _decoded(name)]
        depth = len(PurePosixPath(path).parts)
        return all(end < min(count, depth) for end, count in zip(ends, parts, strict=True))

    def _is_below(self, path: str, beside: Path, others: Sequence[Path]) -> bool:
        """Return True if a file is below a folder in ``others`` that does not contain the folder ``beside``."""
        own, *folders = (Path(os.path.abspath(folder)) for folder in (beside, *others))
        above = set(Path(os.path.abspath(self.root / path)).parents)
        return any(folder in above for folder in folders if folder not in (own, *own.parents))

    def _different(self, paths: list[str]) -> list[str]:
        """Return the first path to each file. Because of links, several paths can lead to the same file."""
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
    """Return the paths that a name can represent, such as the name itself, a Windows path, or the path in a URL."""
    path, _, query = name.partition("?")
    texts = [name, name.replace("\\", "/"), unquote(path).replace("\\", "/")]
    # Label Studio's URL of a local file looks like /data/local-files/?d=folder%2Fa.jpg.
    texts += [text.replace("\\", "/") for text in parse_qs(query).get("d", [])]
    return [text for text in dict.fromkeys(texts) if PurePosixPath(text).name]


def _without_prefix(names: Sequence[str]) -> list[str]:
    paths = [(PurePosixPath(name).parent, _PREFIX.sub("", PurePosixPath(name).name)) for name in names]
    return [path for path in (str(parent / name) for parent, name in paths if name) if path not in names]


def _common_end(left: Sequence[str], right: Sequence[str]) -> int:
    pairs = zip(reversed(left), reversed(right), strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(left), len(right)))
