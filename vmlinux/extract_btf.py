#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Usage: extract_btf.py IMAGE OUT: takes the BTF out of a kernel image, so that it need not boot.

IMAGE is a vmlinuz, an arm64 Image or a vmlinux, whatever its compression; OUT is what bpftool reads
as `bpftool btf dump file OUT format c`.
"""
import struct
import subprocess
import sys

HEADER = struct.Struct("<HBBIIIII")
MAGIC = b"\x9f\xeb\x01"
# The tool's status is ignored: it complains about what follows the payload.
PACKED = (
    (b"\x1f\x8b\x08", ["gzip", "-dc"]),
    (b"\x28\xb5\x2f\xfd", ["zstd", "-dc"]),
    (b"\x02\x21\x4c\x18", ["lz4", "-dc"]),
    (b"\x04\x22\x4d\x18", ["lz4", "-dc"]),
    (b"\xfd7zXZ\0", ["xz", "-dc"]),
)


def positions(data, magic):
    at = data.find(magic)
    while at >= 0:
        yield at
        at = data.find(magic, at + 1)


def largest_btf(data):
    """The kernel's own BTF is by far the largest; 3-byte magics turn up elsewhere by chance."""
    best = b""
    for at in positions(data, MAGIC):
        if len(data) - at < HEADER.size:
            break
        _, _, _, header, types_at, types, strings_at, strings = HEADER.unpack_from(data, at)
        size = header + strings_at + strings
        if header == HEADER.size and types_at == 0 and strings_at == types \
                and len(best) < size <= len(data) - at and data[at + header + strings_at] == 0:
            best = data[at:at + size]
    return best


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.split(":")[0])
    with open(sys.argv[1], "rb") as image:
        data = image.read()
    best = largest_btf(data)
    for magic, tool in PACKED:
        for at in () if len(best) > 1 << 20 else positions(data, magic):
            out = subprocess.run(tool, input=data[at:], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, check=False).stdout
            best = max(best, largest_btf(out), key=len)
            if len(best) > 1 << 20:
                break
    if not best:
        sys.exit("extract_btf: no BTF in " + sys.argv[1])
    with open(sys.argv[2], "wb") as out:
        out.write(best)


main()
