"""Mutate files with a seed: their bytes, and their values, fields and records.

A mutator takes the content of a file and a random generator, and returns a changed content.
"""

import io
import itertools
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import yaml

from tests.robustness.mutation.pieces import TAGS, VALUES, WORDS
from tests.robustness.mutation.pieces import XML as XML_PARTS

Mutator = Callable[[bytes, random.Random], bytes]


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Change, remove, insert, repeat or cut bytes."""
    result = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(result) + 1)
        stop = min(start + rng.choice((0, 1, 1, 1, 8, 100)), len(result))
        random_bytes = rng.randbytes(rng.choice((1, 4, 20)))
        repeated = bytes(result[start : start + 50]) * rng.choice((2, 50))
        new = (b"", bytes(stop - start), random_bytes, random_bytes, b"\xff\xff\xff\x7f", repeated)
        result[start:stop] = rng.choice(new)
    return bytes(result[: rng.randrange(len(result) + 1)] if rng.random() < 0.1 else result)


def mutate_json(content: bytes, rng: random.Random) -> bytes:
    return _changed(json.loads(content), rng, VALUES).encode("utf-8", "surrogatepass")


def mutate_json_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines()
    number = rng.randrange(len(lines))
    lines[number] = mutate_json(lines[number], rng)
    return b"\n".join(lines) + b"\n" * rng.randint(0, 1)


def mutate_yaml(content: bytes, rng: random.Random) -> bytes:
    """Change values of YAML. The result is YAML in flow style, which includes JSON."""
    return _changed(yaml.safe_load(content), rng, [*VALUES, *TAGS, *TAGS]).encode("utf-8", "surrogatepass")


def mutate_words(content: bytes, rng: random.Random) -> bytes:
    """Change fields of text in lists, tables and XML."""
    parts = re.split(r"([\w.:\-]+)", content.decode())
    for _ in range(rng.randint(1, 3)):
        parts[rng.randrange(len(parts))] = rng.choice([*WORDS, rng.choice(parts), rng.choice(parts) * 200])
    return "".join(parts).encode("utf-8", "surrogatepass")


def mutate_xml(content: bytes, rng: random.Random) -> bytes:
    """Change tags, and insert declarations, entities and depth."""
    parts = re.split(r"(<[^>]*>)", content.decode())
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(parts))
        old, new = parts[place], rng.choice(XML_PARTS)
        parts[place] = rng.choice(["", old * 2, rng.choice(parts), new, old + new])
    return "".join(parts).encode()


def mutate_png(content: bytes, rng: random.Random) -> bytes:
    """Change, repeat, drop or move chunks of a PNG, and write correct checksums."""
    chunks, place = [], 8
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    for _ in range(rng.randint(1, 2)):
        number = rng.randrange(len(chunks))
        kind, data = chunks[number]
        extra = (
            rng.choice((b"zTXt", b"iCCP", b"tEXt", b"eXIf", b"tRNS", b"PLTE", b"acTL")),
            b"a\0\0" + zlib.compress(bytes(10**6)),
        )
        choice = rng.choice(([(kind, mutate_bytes(data, rng))], [], [chunks[number]] * 2, [extra, chunks[number]]))
        chunks[number : number + 1] = choice
        if not chunks:
            break
    joined = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return content[:8] + b"".join(joined)


def in_records(wanted: str, mutator: Mutator) -> Mutator:
    """Return a mutator of zip archives that changes one of the records with a matching name."""

    def mutate(content: bytes, rng: random.Random) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content)) as old:
            records = {name: old.read(name) for name in old.namelist()}
        name = rng.choice([each for each in records if re.search(wanted, each)])
        records[name] = mutator(records[name], rng)
        result = io.BytesIO()
        with zipfile.ZipFile(result, "w") as new:
            for each, data in records.items():
                new.writestr(each, data)
        return result.getvalue()

    return mutate


def any_of(*mutators: Mutator) -> Mutator:
    return lambda content, rng: rng.choice(mutators)(content, rng)


JSON = any_of(mutate_bytes, mutate_json, mutate_json, mutate_json)
LINES = any_of(mutate_bytes, mutate_json_lines, mutate_json_lines)
YAML = any_of(mutate_bytes, mutate_words, mutate_yaml, mutate_yaml, mutate_yaml)
TEXT = any_of(mutate_bytes, mutate_words, mutate_words)
XML = any_of(mutate_bytes, mutate_words, mutate_words, mutate_xml)
PNG = any_of(mutate_bytes, mutate_png, mutate_png)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of all values in a nested value."""
    found, inside = [], [value]
    while inside:
        container = inside.pop()
        keys = list(container) if isinstance(container, dict) else range(len(container))
        found += [(container, key) for key in keys]
        inside += [container[key] for key in keys if isinstance(container[key], (dict, list))]
    return found


def _changed(value: Any, rng: random.Random, texts: list[str]) -> str:
    """Return JSON text of a value with one to three changes. Some changes are possible only in JSON text."""
    root, written = [value], {}
    names = (f"@{number}@" for number in itertools.count())
    for _ in range(rng.randint(1, 3)):
        container, key = rng.choice(_places(root))
        token = next(names)
        written[token] = rng.choice(texts)
        action = rng.random()
        if action < 0.6 or container is root:
            container[key] = token
        elif action < 0.7:
            del container[key]
        elif action < 0.8:
            other, place = rng.choice(_places(root))
            container[key] = json.loads(json.dumps(other[place]))
        elif isinstance(container, list):
            container[key:key] = [token] if rng.random() < 0.5 else json.loads(json.dumps(container[:20]))
        else:  # add another key, or the same key again
            written[token] = json.dumps(rng.choice([key, key, "", "x", "\ud800", "x" * 5000, key * 2]))
            container[token] = container[key]
        if not root:
            return ""
    text = json.dumps(root[0])
    for token, new in written.items():
        text = text.replace(f'"{token}"', new)
    return text
