"""Test the functions that the programs of tools/ share."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from command_line import command

@command
def main(arguments):
    for number in range(100_000):
        print(number)

raise SystemExit(main())
"""


def test_output_that_nobody_reads_on_ends_the_program():
    """Test that ``tools/doctor.py ... | head -1`` ends without a traceback."""
    tools = Path(__file__).parents[2] / "tools"
    with subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=tools, stdout=-1, stderr=-1, text=True) as program:
        assert program.stdout.readline() == "0\n"
        program.stdout.close()
        assert program.stderr.read() == ""
    assert program.returncode == 141
