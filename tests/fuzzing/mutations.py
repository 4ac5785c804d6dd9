"""Damage of every kind, seeded: to bytes, to text, to the cards of FITS headers, to the nodes of JSON and of YAML."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
Mutation = Callable[[bytes, Rng], bytes]
BLOCK, CARD = 2880, 80
STRANGE = (
    *("0", "-1", "1", "2", "3", "7", "255", "65535", "2147483647", "-2147483648", "4294967296", "99999999999"),
    *("9223372036854775807", "1e308", "-1e308", "1e999", "nan", "inf", "-inf", "1e-320", "0.0", "-0.5", "", "''"),
    *("null", "true", "F", "T", "[]", "{}", "α", "'", '"', "\\", "\0", "%s%n", "../../etc/passwd", "/etc/passwd"),
    *("http://127.0.0.1:9/x", "file:///etc/passwd", "__import__('os').system('touch executed')"),
    *("!!python/object/apply:os.system ['touch executed']", "$(touch executed)", "<!ENTITY x SYSTEM '/etc/passwd'>"),
    *("x" * 5000, "[" * 3000, "9" * 400, "1,2,3", "circle(1,2,3)", "polygon(1,2)", "nJy", "deg", "mas/yr", "%"),
)
"""What somebody may have written where a number or a word is expected."""
CARDS = (
    *("NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "BITPIX", "BZERO", "BSCALE", "BLANK", "PCOUNT", "GCOUNT", "TFIELDS"),
    *("EXTEND", "XTENSION", "SIMPLE", "TFORM1", "TFORM2", "TDIM1", "TTYPE1", "TNULL1", "THEAP", "ZNAXIS1", "ZNAXIS2"),
    *("ZTILE1", "ZTILE2", "ZBITPIX", "ZCMPTYPE", "ZVAL1", "EXTNAME", "CTYPE1", "CTYPE2", "CRVAL1", "CRPIX1", "CD1_1"),
    *("CD1_2", "CDELT1", "CUNIT1", "PC1_1", "PV1_3", "A_ORDER", "A_2_0", "BUNIT", "MAGZERO", "PHOTFLAM", "BANDS"),
    *("FILTER", "TELESCOP", "INSTRUME", "RADESYS", "EQUINOX", "LONPOLE", "SATURATE", "MJD-OBS", "DATE-OBS", "GAIN"),
    *("SEEING", "PSF_SAMP", "POLDEG1", "POLNAXIS", "POLSCAL1", "POLNAME1", "OVERSAMP", "DET_YX0", "NXPSFS", "IPSFX01"),
    *("STMPSIZE", "SAMPLING", "PIXELSCL", "MP_BAD", "WHT_TYPE", "CAMCOL", "RUN", "EPOCH", "WCSAXES", "LTV1", "CPDIS1"),
)
_NUMBER = re.compile(rb"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9]+|[-+]?\d[\d.eE+-]*")


def damaged_bytes(data: bytes, rng: Rng) -> bytes:
    """Flip, drop, double, cut, shift, overwrite: what disks, transfers and strangers do to bytes."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at, n = int(rng.integers(len(out) + 1)), int(rng.integers(1, 9))
        what = int(rng.integers(7))
        if what == 0 and out:
            out[at % len(out)] ^= 1 << int(rng.integers(8))
        elif what == 1:
            del out[at : at + n * int(rng.choice([1, 1, 80, 2880]))]
        elif what == 2:
            out[at:at] = rng.bytes(n)
        elif what == 3:
            del out[at:]
        elif what == 4:
            out[at : at + n] = rng.bytes(n)
        elif what == 5:
            begin = int(rng.integers(len(out) + 1))
            out[at:at] = out[begin : begin + n * int(rng.choice([1, 10, 360]))]
        else:
            width = int(rng.choice([1, 2, 4, 8]))
            value = int(rng.choice([0, 1, 2**8 - 1, 2**15, 2**31 - 1, 2**32 - 1, 2**63 - 1])) % 2 ** (8 * width)
            out[at : at + width] = value.to_bytes(width, str(rng.choice(["big", "little"])))  # type: ignore[arg-type]
    return bytes(out)


def damaged_text(data: bytes, rng: Rng) -> bytes:
    """Put strange words in place of words and numbers, move lines, double and drop them."""
    if rng.random() < 0.3:
        lines = data.split(b"\n")
        at = int(rng.integers(len(lines)))
        what = int(rng.integers(4))
        if what == 0:
            del lines[at]
        elif what == 1:
            lines.insert(at, lines[int(rng.integers(len(lines)))])
        elif what == 2:
            lines.insert(at, _strange(rng))
        else:
            lines[at] = lines[at] * 50
        return b"\n".join(lines)
    pattern = _NUMBER if rng.random() < 0.5 else _WORD
    for _ in range(int(rng.integers(1, 4))):
        found = list(pattern.finditer(data))
        if not found:
            return damaged_bytes(data, rng)
        here = found[int(rng.integers(len(found)))]
        data = data[: here.start()] + _strange(rng) + data[here.end() :]
    return data


def damaged_fits(data: bytes, rng: Rng) -> bytes:
    """Change, add, drop or double header cards; the blocks stay where they are."""
    starts = [i for i in range(0, len(data) - CARD, CARD) if data[i + 8 : i + 10] == b"= "]
    if not starts or rng.random() < 0.2:
        return damaged_bytes(data, rng)
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.choice(starts))
        what = rng.random()
        if what < 0.45:
            name = bytes(out[at : at + 8])
        elif what < 0.85:
            name = str(rng.choice(CARDS)).encode().ljust(8)
            twins = [i for i in starts if out[i : i + 8] == name]
            at = twins[0] if twins else at
        elif what < 0.93:
            other = int(rng.choice(starts))
            out[at : at + CARD] = out[other : other + CARD]
            continue
        else:
            out[at : at + CARD] = b" " * CARD
            continue
        value = _strange(rng)
        is_text = rng.random() < 0.3
        card = name + b"= " + ((b"'" + value + b"'") if is_text else value.rjust(20))
        out[at : at + CARD] = card[:CARD].ljust(CARD)
    return bytes(out)


def damaged_json(data: bytes, rng: Rng) -> bytes:
    """Put something else in place of a node, or drop it."""
    if rng.random() < 0.15:
        return damaged_text(data, rng)
    try:
        tree = json.loads(data)
    except ValueError:
        return damaged_text(data, rng)
    for _ in range(int(rng.integers(1, 3))):
        tree = _with_other_node(tree, rng)
    return json.dumps(tree).encode()


def damaged_json_lines(data: bytes, rng: Rng) -> bytes:
    """Damage one line of many, or their order."""
    lines = data.split(b"\n")
    if rng.random() < 0.2:
        return damaged_text(data, rng)
    at = int(rng.integers(len(lines)))
    lines[at] = damaged_json(lines[at], rng)
    return b"\n".join(lines)


def damaged_asdf(data: bytes, rng: Rng) -> bytes:
    """Damage the text of an ASDF file, or the blocks behind it."""
    head, mark, blocks = data.partition(b"\n...\n")
    what = rng.random()
    if what < 0.2 or not mark:
        return damaged_bytes(data, rng)
    if what < 0.35:
        return head + mark + damaged_bytes(blocks, rng)
    if what < 0.45:
        # the header of a block: flags, compression, and three sizes
        at = blocks.find(b"\xd3BLK", int(rng.integers(len(blocks) + 1)))
        place = max(at, 0) + 6 + int(rng.choice([0, 4, 8, 16, 24]))
        value = int(rng.choice([0, 1, 2**20, 2**31, 2**40, 2**63 - 1]))
        return head + mark + blocks[:place] + struct.pack(">Q", value) + blocks[place + 8 :]
    lines = head.split(b"\n")
    at = int(rng.integers(6, len(lines))) if len(lines) > 7 else 0
    lines[at] = damaged_text(lines[at], rng) if rng.random() < 0.8 else damaged_bytes(lines[at], rng)
    if rng.random() < 0.1:
        lines.insert(at, b"  $ref: file:///etc/passwd")
    return b"\n".join(lines) + mark + blocks


def damaged_safetensors(data: bytes, rng: Rng) -> bytes:
    """Damage the JSON that says what numbers follow, and say its length right."""
    if len(data) < 8 or rng.random() < 0.3:
        return damaged_bytes(data, rng)
    n = int.from_bytes(data[:8], "little")
    head = damaged_json(data[8 : 8 + n], rng)
    return len(head).to_bytes(8, "little") + head + data[8 + n :]


def damaged_blends(data: bytes, rng: Rng) -> bytes:
    """Damage what a record of a batch's journal says, with its length and checksum made right again."""
    head = struct.Struct("<4sIQI")
    mark, n_line, n_content, _ = head.unpack(data[: head.size])
    line, content = data[head.size : head.size + n_line], data[head.size + n_line : head.size + n_line + n_content]
    line = damaged_json(line, rng)
    made = head.pack(mark, len(line), len(content), zlib.crc32(content, zlib.crc32(line))) + line + content
    return made + data[head.size + n_line + n_content :]


def damaged_npz(data: bytes, rng: Rng) -> bytes:
    """Damage one array of an archive of NumPy: its header or what it says."""
    parts = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            parts[name] = archive.read(name)
    name = list(parts)[int(rng.integers(len(parts)))]
    parts[name] = (damaged_text if rng.random() < 0.5 else damaged_bytes)(parts[name], rng)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, content in parts.items():
            archive.writestr(each, content)
    return made.getvalue()


def _strange(rng: Rng) -> bytes:
    return STRANGE[int(rng.integers(len(STRANGE)))].encode()


def _odd_value(rng: Rng) -> Any:
    text = STRANGE[int(rng.integers(len(STRANGE)))]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _with_other_node(tree: Any, rng: Rng) -> Any:
    if isinstance(tree, dict) and tree and rng.random() < 0.9:
        name = list(tree)[int(rng.integers(len(tree)))]
        if rng.random() < 0.08:
            return {key: value for key, value in tree.items() if key != name}
        if rng.random() < 0.05:
            return {**tree, STRANGE[int(rng.integers(len(STRANGE)))]: _odd_value(rng)}
        return {**tree, name: _with_other_node(tree[name], rng)}
    if isinstance(tree, list) and tree and rng.random() < 0.9:
        at = int(rng.integers(len(tree)))
        if rng.random() < 0.1:
            return tree[:at] + tree[at + 1 :]
        return [*tree[:at], _with_other_node(tree[at], rng), *tree[at + 1 :]]
    return _odd_value(rng)
