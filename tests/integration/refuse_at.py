# SPDX-License-Identifier: ISC
"""What tests/integration/refuse_at.c counts."""

import mmap
import struct

from nmtest import BUILD

REFUSE_AT = BUILD / "tests" / "refuse_at"


class Counts:
    """What refuse_at counts, while it does: {name: (made, refused)}."""

    SIZE, NUMBERS = 32, 1024

    def __init__(self, path):
        path.write_bytes(bytes(self.SIZE * self.NUMBERS))
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)

    def __call__(self):
        entries = struct.iter_unpack("24sII", self._map[:])
        return {name.rstrip(b"\0").decode(): (made, refused) for name, made, refused in entries if made}
