import sys
from pathlib import Path

# tools/export.py is run from its folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
