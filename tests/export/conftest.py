import sys
from pathlib import Path

# tools/export.py runs in its folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
