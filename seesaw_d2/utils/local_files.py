"""Make Detectron2's PathManager open only regular files. When this module is imported, it registers a path handler."""

from typing import IO, Any

from detectron2.utils.file_io import PathManager
from iopath.common.file_io import NativePathHandler

from seesaw_d2.utils.regular_files import open_regular


class RegularFiles(NativePathHandler):
    """Path handler for local files that raises OSError for pipes, devices and other irregular files."""

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **options: Any) -> IO[Any]:
        options.pop("opener", None)  # not supported, because open_regular passes its own opener to open
        return open_regular(self._get_path_with_cwd(path), mode, buffering=buffering, **options)


PathManager.register_handler(RegularFiles())
