"""Install seesaw_d2 into an environment that contains Detectron2 (v0.6 or main). See README.md.

PyPI does not contain a package with the name detectron2. Therefore, ``install_requires`` cannot list Detectron2. If
Detectron2 is missing, ``tools/install_detectron2.py`` installs v0.6.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "seesaw_d2/version.py").read_text()).group(1)

DIGITS = ["scikit-learn"]  # for the handwritten digits of configs/digits
TIMM = ["timm"]  # for MODEL.CLASSIFIER.BACKBONE timm/NAME, and for examples/timm_classifier.py
# For seesaw_d2.integrations.transformers. The matcher of transformers imports scipy, but transformers does not list
# scipy as a requirement.
TRANSFORMERS = ["transformers>=5", "scipy"]
EXPORT = ["onnx", "onnxscript", "onnxruntime"]  # for tools/export.py --format onnx
RELEASE = ["build", "twine"]  # for make dist
NOTEBOOK = ["ipykernel", "nbclient", "nbformat"]  # for the test that runs notebooks/tutorial.ipynb
DOCS = ["mkdocs-material", "mkdocstrings[python]"]


class BuildWithConfigs(build_py):
    """Build the package, and copy ``configs/`` into the package, where ``seesaw_d2.model_zoo`` finds the configs."""

    def run(self):
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "seesaw_d2/configs"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / "configs", target, ignore=shutil.ignore_patterns("__pycache__"))


setup(
    name="seesaw_d2",
    version=VERSION,
    description="Seesaw Loss and its relatives for long-tailed instance segmentation with Detectron2",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    author="The seesaw_d2 authors",
    keywords="long-tailed instance segmentation, object detection, class imbalance, rare classes, Seesaw Loss, LVIS",
    project_urls={
        "Paper": "https://arxiv.org/abs/2008.10032",
        "Detectron2": "https://github.com/facebookresearch/detectron2",
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["seesaw_d2", "seesaw_d2.*"]),
    package_data={"seesaw_d2": ["py.typed"], "seesaw_d2.report": ["templates/*"]},
    cmdclass={"build_py": BuildWithConfigs},
    python_requires=">=3.10",
    install_requires=[
        "torch>=2.6",  # torch.load(weights_only=True) is unsafe in older versions
        "torchvision",
        "fvcore",
        "lvis",
        # hotcoco computes the LVIS metrics in Rust, in 1/36 (boxes) and 1/8 (masks) of the time of lvis-api
        # (benchmarks/README.md). The results differ by less than 1e-12. TEST.LVIS_ENGINE "official" uses lvis-api
        # instead. faster-coco-eval is only 3 times faster than lvis-api, and does not support LVIS's limit of 300
        # detections per image.
        "hotcoco>=1.3,<2",
        "safetensors",  # reads and writes weights in files that cannot contain code
        "orjson",  # writes results of gigabytes ten times faster than json
        "xxhash",  # detects changed annotation files of gigabytes ten times faster than hashlib.sha256
        "msgspec",  # splits annotation files of gigabytes into entries without creating Python objects
        "pycocotools",
        "opencv-python",
        "matplotlib",  # figures, and the fonts of the glyph dataset
    ],
    extras_require={
        "report": ["jinja2"],  # the HTML report
        "classification": DIGITS + TIMM,
        "digits": DIGITS,
        "timm": TIMM,
        "transformers": TRANSFORMERS,
        "export": EXPORT,
        "docs": DOCS,
        "release": RELEASE,
        "notebook": NOTEBOOK,
        "dev": ["pytest", "pytest-xdist", "ruff", "mypy", "hypothesis", "jinja2", *DIGITS, *EXPORT],
    },
)
