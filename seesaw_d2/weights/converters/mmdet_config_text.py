"""Parse the config text in a checkpoint of MMDetection without running it.

The text is Python code that assigns ``dict(...)`` calls, lists and plain values to variables, such as
``model = dict(type='MaskRCNN', ...)``.
"""

import ast
import operator
from collections.abc import Callable, Sequence
from typing import Any

from seesaw_d2.errors import WeightsError
from seesaw_d2.utils.messages import shortened

# Largest allowed number of characters in a config text. Parsing a longer text could take too long. Typical configs have
# 20,000 characters, or 60,000 characters with class names.
MAX_TEXT = 1_000_000
# The parser computes expressions such as "a" + "b" or 2 * 8. If the result has more than _MAX_STRING characters, or is
# not below _MAX_NUMBER, the parser returns ``NotLiteral`` instead.
_MAX_STRING, _MAX_NUMBER = 10_000, 2**63
_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class NotLiteral:
    """Placeholder for a config value that cannot be computed without running the config text, such as a function call.

    Args:
        line: number of the line that contains the value, for error messages.
    """

    def __init__(self, line: int):
        self.line = line

    def __repr__(self) -> str:
        return f"an expression in line {self.line} of the config text"


def parse_config_text(text: str) -> dict[str, Any]:
    """Return the variables that the config text of an MMDetection checkpoint assigns, as a dict from name to value.

    Values are numbers, strings, None, lists and dicts. Tuples become lists. An object of ``NotLiteral`` replaces each
    value that cannot be computed without running the text. The parser resolves references to earlier variables and
    ``**`` of dicts. It drops the key ``_delete_``, which affects only the merging with base configs.

    Raises:
        WeightsError: the text is too long, is not Python source, or contains statements that are not assignments.
    """
    if len(text) > MAX_TEXT:
        raise WeightsError(f"config text: expected at most {MAX_TEXT} characters, found {len(text)} characters")
    try:
        statements = ast.parse(text).body
        names: dict[str, Any] = {}
        for statement in statements:
            _assign(statement, names)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        if isinstance(error, WeightsError):
            raise
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error) or "nested too deeply"
        raise WeightsError(f"config text{where}: cannot parse the Python code: {reason}") from None
    return names


def _assign(statement: ast.stmt, names: dict[str, Any]) -> None:
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(ast.Constant()):
            return
        case ast.Assign(targets, value) if all(isinstance(target, ast.Name) for target in targets):
            assigned = [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(ast.Name(name), value=ast.expr() as value):
            assigned = [name]
        case _:
            found = shortened(ast.unparse(statement).splitlines()[0], 80)
            raise WeightsError(f"config text, line {statement.lineno}: expected an assignment, found {found}")
    names |= dict.fromkeys(assigned, _value(value, names))


def _value(node: ast.AST, names: dict[str, Any]) -> Any:
    match node:
        case ast.Constant(str() | int() | float() | None as value):
            return value
        case ast.List(items) | ast.Tuple(items) if not any(isinstance(each, ast.Starred) for each in items):
            return [_value(each, names) for each in items]
        case ast.Dict(keys, values):
            return _merged(list(zip(keys, values, strict=True)), node, names)
        case ast.Call(ast.Name("dict"), [], keywords):
            pairs = [(None if each.arg is None else ast.Constant(each.arg), each.value) for each in keywords]
            return _merged(pairs, node, names)
        case ast.Name(name) if name in names:
            return names[name]
        case ast.UnaryOp(ast.USub() | ast.UAdd() as sign, operand) if _is_number(value := _value(operand, names)):
            return -value if isinstance(sign, ast.USub) else value
        case ast.BinOp(op=op) if type(op) in _OPERATORS:
            return _computed(node, names)
    return NotLiteral(getattr(node, "lineno", 0))


def _merged(pairs: Sequence[tuple[ast.expr | None, ast.expr]], node: ast.AST, names: dict[str, Any]) -> Any:
    """Return the value of a dict expression in the config text, or ``NotLiteral`` if it cannot be computed.

    Args:
        pairs: pairs (key, value) of nodes in the syntax tree. A pair for ``**value`` has the key None.
        node: the node of the whole dict expression, for its line number.
        names: dict from each variable assigned before to its value.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        each = _value(value, names)
        if key is not None:
            name = _value(key, names)
            if not isinstance(name, (str, int, float)):
                return NotLiteral(getattr(node, "lineno", 0))
            found[str(name)] = each
        elif isinstance(each, dict):
            found |= each
        else:
            return NotLiteral(getattr(node, "lineno", 0))
    found.pop("_delete_", None)
    return found


def _computed(node: ast.BinOp, names: dict[str, Any]) -> Any:
    left, right = _value(node.left, names), _value(node.right, names)
    text = isinstance(left, str) and isinstance(right, str) and isinstance(node.op, ast.Add)
    try:
        if text and len(left) + len(right) <= _MAX_STRING:
            return left + right
        if _is_number(left) and _is_number(right):
            result = _OPERATORS[type(node.op)](left, right)
            return result if abs(result) < _MAX_NUMBER else NotLiteral(node.lineno)
    except (ZeroDivisionError, OverflowError):
        pass
    return NotLiteral(node.lineno)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
