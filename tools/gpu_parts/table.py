"""Format the Markdown table of tools/gpu.py."""

from gpu_parts.parts import Part


def markdown(parts: list[Part], results: list[dict], machine: list[str]) -> str:
    """Return Markdown text: a line about the machine, and a table with the result of each part.

    ``running.known`` returns the results.
    """
    lines = [". ".join(machine) + ".", "", "| part | case | result |", "|---|---|---|"]
    for part, result in zip(parts, results, strict=True):
        title = f"{part.name}: {part.what}"
        if result["status"] != "passed":
            lines.append(_row(title, "", f"**{result['status']}**"))
            title = ""
        for case, value in result["rows"]:
            lines.append(_row(title, case, value))
            title = ""
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
