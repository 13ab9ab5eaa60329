#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns a file into a C array of 32-bit words: embed.py INPUT OUTPUT.c NAME.

Words, because a compiler takes them in several times faster than bytes, and because the array is
then aligned for numbers. The file's size must be a multiple of 4; a style sheet gets line ends.
"""

import pathlib
import struct
import sys


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    source, target, name = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    content = source.read_bytes()
    if source.suffix == ".css":
        content += b"\n" * (-len(content) % 4)
    if not content or len(content) % 4:
        sys.exit(f"embed.py: {source}: found {len(content)} bytes, expected a multiple of 4")
    words = [f"0x{word:x}," for (word,) in struct.iter_unpack("=I", content)]
    lines = ["".join(words[i : i + 12]) for i in range(0, len(words), 12)]
    target.write_text(
        f"/* Made from {source.name} by scripts/embed.py. */\n"
        "#include <stddef.h>\n"
        "#include <stdint.h>\n\n"
        f"extern const uint32_t {name}[];\n"
        f"extern const size_t {name}_size;\n\n"
        f"const uint32_t {name}[] = {{\n" + "\n".join(lines) + "\n};\n"
        f"const size_t {name}_size = sizeof {name};\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
