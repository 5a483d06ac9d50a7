"""Damage to files, at random, and the same each time: bits, pieces, values, links."""

import json
import os
import pathlib
import random
import shutil
import tempfile

from sam_pod import errors

ROUNDS = 40  # For each kind of file.
DEEP = "[" * 100_000 + "]" * 100_000
_VALUES = (
    *("null", "true", "-1", "0", "1.5", "1e999", "NaN", "9" * 400, "9" * 5000),
    *('""', '"x"', '"\\ud800"', '"\\u0000"', "[]", "{}", '{"a": []}', "[[[]]]"),
    *("[" * 300 + "]" * 300, '{"a":' * 900 + "0" + "}" * 900, DEEP),
)


def mutated(content, rng):
    """Return bytes that differ from `content` in a place or two."""
    kind = rng.randrange(7)
    first, second = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    if kind == 0:
        return content[:first]
    if kind == 1:
        return content[:first] + content[second:]
    if kind == 2:
        return content[:second] + content[first:]
    if kind == 3:
        return content[:first] + rng.randbytes(rng.randrange(1, 20)) + content[first:]
    if kind == 4:
        return bytes(len(content))
    if kind == 5:
        return b""
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 4)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def mutated_json(text, rng):
    """Return a JSON text in which one value or key is another, or bytes changed."""
    if rng.random() < 0.3:
        return mutated(text, rng)
    data = json.loads(text)
    places = []

    def walk(value):
        for key in value if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], dict | list):
                walk(value[key])

    walk(data)
    if not places:
        return mutated(text, rng)
    value, key = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        del value[key]
    elif kind == 1 and isinstance(value, dict):
        value[f"{key}x"] = value.pop(key)
    else:
        value[key] = "@@@"
    return json.dumps(data).replace('"@@@"', rng.choice(_VALUES), 1).encode()


def replaced(path, rng):
    """Put something else than a file in its place."""
    os.remove(path)
    if rng.random() < 0.5:
        os.symlink("nothing", path)
    else:
        os.mkdir(path)


def damage(path, rng):
    if rng.random() < 0.1:
        replaced(path, rng)
    else:
        change = mutated_json if path.suffix == ".json" else mutated
        path.write_bytes(change(path.read_bytes(), rng))


def survives(action, folder, rounds=ROUNDS):
    """Damage a file of a copy of `folder`, each time; `action` takes the copy.

    Returns how often it was refused.
    """
    refused = 0
    names = sorted(
        path.relative_to(folder) for path in folder.rglob("*") if path.is_file()
    )
    # Not beside the folder: that may be inside of one that others copy.
    place = pathlib.Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))
    for number in range(rounds):
        rng = random.Random(f"{folder.name} {number}")
        copy = place / folder.name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        name = names[number % len(names)]
        damage(copy / name, rng)
        try:
            action(copy)
        except errors.UserError as error:
            refused += 1
            assert "\n" not in str(error), (number, name)
            assert len(str(error)) < 3000, (number, name)
        except Exception as error:
            raise AssertionError(f"round {number}, {name}") from error
    shutil.rmtree(place)
    return refused
