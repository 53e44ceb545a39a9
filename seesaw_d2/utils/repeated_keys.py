"""Find keys that occur twice in one object of a JSON text. JSON readers keep only the last value of such a key."""

from collections import Counter
from itertools import chain
from typing import Any

_SPACES = b" \t\r\n"


def may_repeat_keys(content: bytes, value: Any) -> bool:
    """Return False if no object of a JSON text has a key twice, or True if an object may have a key twice.

    The function compares the number of ``":`` in the text with the number of keys in the parsed value. If the numbers
    are equal, no key is repeated. The comparison takes 5 % of the parsing time. If the result is True, parse the text
    again with ``unique_keys`` to find the key.

    Args:
        content: the JSON text.
        value: the parsed text.
    """
    if _has_keys(value, content.count(b'":')):
        return False
    return not _has_keys(value, content.translate(None, _SPACES).count(b'":'))


def _has_keys(value: Any, number: int) -> bool:
    """Return whether a parsed JSON value has ``number`` keys in all nested objects together."""
    values = [value]
    while values:
        objects = [each for each in values if type(each) is dict]
        number -= sum(map(len, objects))
        if number <= 0:
            return number == 0
        # To save time, skip lists that start with a number or text. If such a list contains objects, their keys are not
        # counted, and ``may_repeat_keys`` returns True, which is always a safe answer.
        lists = [each for each in values if type(each) is list and each and type(each[0]) in (dict, list)]
        inner = chain(chain.from_iterable(map(dict.values, objects)), chain.from_iterable(lists))
        values = [each for each in inner if type(each) in (dict, list)]
    return number == 0


class RepeatedKeyError(Exception):
    """Raised if an object has a key twice. The message describes the object."""


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dict with the items of a JSON object. Pass this function as ``object_pairs_hook`` to ``json.loads``.

    Raises:
        RepeatedKeyError: a key occurs twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        key, count = Counter(key for key, _ in pairs).most_common(1)[0]
        where = f"id {found['id']!r:.100}" if "id" in found and key != "id" else f"the keys {', '.join(found):.200}"
        raise RepeatedKeyError(
            f'expected each key once in an object, found "{key:.100}" {count} times in the object with {where}. Delete '
            "the repetitions"
        )
    return found
