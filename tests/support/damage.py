"""Files spoilt at random, from a seed: cut, flipped, spliced, of huge sizes, of other types."""

import json
import struct
import zlib

PIECES = [b"", b"\0" * 64, b"\xff" * 9, b"\n", b'"', b"NaN", b"1e999", b"9" * 400, b"[" * 3000]
VALUES = [None, True, -1, 0, 2**40, 1e300, "", "x\ny\x1b[2J", "9" * 5000, [], {}, [[1]], {"a": 1}]


def damaged(content, draw):
    """(bytes that differ, what was done) of a file's bytes. draw: a random.Random."""
    ways = [cut, flip, splice]
    if content.startswith(b"\x89PNG") or content.startswith(b"\xff\xd8"):
        ways += [huge, chunk if content.startswith(b"\x89PNG") else cut]
    if content.lstrip().startswith((b"{", b"[")):
        ways += [retype, retype, nest]
    while True:
        way = draw.choice(ways)
        found = way(content, draw)
        if found != content:
            return found, way.__name__


def cut(content, draw):
    """The end is missing."""
    return content[: draw.randrange(len(content))]


def flip(content, draw):
    """Some bytes are others."""
    found = bytearray(content)
    for _ in range(draw.choice([1, 4, 40])):
        found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
    return bytes(found)


def splice(content, draw):
    """A part is missing, and something else, or another part of the file, in its place."""
    start, other = draw.randrange(len(content)), draw.randrange(len(content))
    end = start + draw.choice([0, 1, 30, len(content)])
    own = content[other : other + draw.choice([8, 200])]
    return content[:start] + draw.choice(PIECES + [own] * 4) + content[end:]


def huge(content, draw):
    """A picture's header declares sides that no memory holds."""
    sides = draw.choice([(65000, 65000), (2**31 - 1, 1), (13000, 13000), (0, 7)])
    if content.startswith(b"\x89PNG"):
        header = b"IHDR" + struct.pack(">II", *sides) + content[24:29]
        return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    place = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
    packed = struct.pack(">HH", *(min(side, 65000) for side in sides))
    return content[: place + 5] + packed + content[place + 9 :]


def chunk(content, draw):
    """A PNG has a whole chunk too many: a text that unpacks to 64 MB, a palette, an animation's."""
    bomb = b"zTXtdeeplab_nb\0\0" + zlib.compress(b"a" * (1 << 26), 9)
    kinds = [bomb, b"PLTE" + b"\1\2\3" * 3, b"tRNS" + b"\0" * 300, b"acTL\0\0\0\2\0\0\0\0"]
    body = draw.choice(kinds)
    whole = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return content[:33] + whole + content[33:]


def retype(content, draw):
    """One item of JSON, or of the first line of a log, is missing or another value."""
    line, rest = content, b""
    if content.count(b"\n{"):
        line, rest = content.split(b"\n", 1)
    found = json.loads(line)
    path = draw.choice([path for path in _places(found) if path])
    holder = found
    for key in path[:-1]:
        holder = holder[key]
    if draw.random() < 0.2:
        del holder[path[-1]]
    else:
        holder[path[-1]] = draw.choice(VALUES)
    return json.dumps(found).encode() + b"\n" + rest


def nest(content, draw):
    """One item of JSON lies within very many brackets."""
    depth = draw.choice([90, 5000])
    return content.replace(b":", b": " + b"[" * depth + b"1" + b"]" * depth + b', "z":', 1)


def _places(value, path=()):
    yield path
    inside = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value) if isinstance(value, list) else inside:
        yield from _places(item, path + (key,))
