import sys
from pathlib import Path

# The scripts are run from their folder, and import each other from there.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
