"""Run tools/convert_mmdet_checkpoint.py in this process."""

from convert_mmdet_checkpoint import main


def run(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err
