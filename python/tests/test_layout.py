# SPDX-License-Identifier: Apache-2.0
"""The structs in ctypes have the fields, offsets and sizes that a C compiler gives those of the
headers, and the version is theirs."""

import ctypes
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import rapt
from rapt import _library

INCLUDE = pathlib.Path(__file__).parents[2] / "include"
STRUCTS = {
    "rapt_tensor": _library.Tensor,
    "rapt_attention_args": _library.AttentionArgs,
    "rapt_attention_data": _library.AttentionData,
    "rapt_isa": _library.Isa,
}
CONSTANTS = {
    "RAPT_NONE": _library.NONE,
    "RAPT_F32": _library.F32,
    "RAPT_BOOL": _library.BOOL,
    "RAPT_F16": _library.F16,
    "RAPT_BF16": _library.BF16,
    "RAPT_INVALID_ARGUMENT": 1,
    "RAPT_UNSUPPORTED": 2,
    "RAPT_ISA_UNAVAILABLE": 3,
    "RAPT_OUT_OF_MEMORY": 4,
}


def facts_of_ctypes():
    facts = [f"{name} {value}" for name, value in CONSTANTS.items()]
    for name, struct in STRUCTS.items():
        facts.append(f"{name} {ctypes.sizeof(struct)}")
        for field, *_ in struct._fields_:
            of = getattr(struct, field)
            facts.append(f"{name}.{field} {of.offset} {of.size}")
    return facts


def program():
    lines = [f'printf("{name} %d\\n", (int){name});' for name in CONSTANTS]
    for name, struct in STRUCTS.items():
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        for field, *_ in struct._fields_:
            lines.append(
                f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), '
                f"sizeof((({name} *)0)->{field}));"
            )
    lines.append(
        "const rapt_attention_args a = rapt_attention_defaults();"
        "for (size_t i = 0; i < sizeof a; i++)"
        '    printf("%02x", ((const unsigned char *)&a)[i]);'
    )
    return "#include <rapt/rapt.h>\n#include <stdio.h>\nint main(void) {" + "\n".join(lines) + "}\n"


class Layout(unittest.TestCase):
    def test_structs(self):
        compiler = os.environ.get("CC") or shutil.which("cc")
        if not compiler:
            self.skipTest("no C compiler")
        with tempfile.TemporaryDirectory() as folder:
            source, binary = pathlib.Path(folder, "layout.c"), pathlib.Path(folder, "layout")
            source.write_text(program(), encoding="utf-8")
            command = [*compiler.split(), "-I", INCLUDE, source, "-o", binary]
            subprocess.run(command, check=True)
            found = subprocess.run([binary], check=True, capture_output=True, text=True).stdout
        self.assertEqual(
            found.splitlines(), [*facts_of_ctypes(), bytes(_library.default_args()).hex()]
        )

    def test_version(self):
        text = (INCLUDE / "rapt/version.h").read_text(encoding="utf-8")
        parts = re.findall(r"#define RAPT_VERSION_[MP]\w+ (\d+)", text)
        self.assertEqual(rapt.__version__, ".".join(parts))


if __name__ == "__main__":
    unittest.main()
