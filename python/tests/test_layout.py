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
from rapt import _abi, _library, _page

INCLUDE = pathlib.Path(__file__).parents[2] / "include"
HEADERS = "".join(
    path.read_text(encoding="utf-8") for path in sorted((INCLUDE / "rapt").glob("*.h"))
)
PUBLIC = {name: value for name, value in vars(_abi).items() if isinstance(value, int)}


def structs_of(module):
    """Those of a module by their names in C, which their docstrings say."""
    return {
        struct.__doc__: struct
        for struct in vars(module).values()
        if isinstance(struct, type)
        and issubclass(struct, ctypes.Structure)
        and struct.__module__ == module.__name__
    }


STRUCTS = {**structs_of(_abi), **structs_of(_page)}
CONSTANTS = {
    **{f"RAPT_{name}": value for name, value in PUBLIC.items()},
    "PAGE_AS_GIVEN": _page.AS_GIVEN,
    "PAGE_FOUND": _page.FOUND,
    "PAGE_BOTH": _page.BOTH,
    "PAGE_ERROR_SIZE": _page._ERROR_SIZE,
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
    head = '#include "cli/page/page.h"\nint main(void) {'
    return head + "\n".join(lines) + "}\n"


class Layout(unittest.TestCase):
    def test_structs(self):
        compiler = os.environ.get("CC") or shutil.which("cc")
        if not compiler:
            self.skipTest("no C compiler")
        with tempfile.TemporaryDirectory() as folder:
            source, binary = pathlib.Path(folder, "layout.c"), pathlib.Path(folder, "layout")
            source.write_text(program(), encoding="utf-8")
            command = [*compiler.split(), "-I", INCLUDE, "-I", INCLUDE.parent, source, "-o", binary]
            subprocess.run(command, check=True)
            found = subprocess.run([binary], check=True, capture_output=True, text=True).stdout
        self.assertEqual(
            found.splitlines(), [*facts_of_ctypes(), bytes(_library.default_args()).hex()]
        )

    def test_all_of_the_headers_is_there(self):
        structs = re.findall(r"^typedef struct (\w+) {", HEADERS, re.M)
        constants = re.findall(r"^ +(RAPT_\w+) = \d", HEADERS, re.M)
        functions = re.findall(r"^RAPT_API [^;]*?(\w+)\(", HEADERS, re.M)
        self.assertEqual(sorted(structs_of(_abi)), sorted(structs))
        self.assertEqual(sorted(f"RAPT_{name}" for name in PUBLIC), sorted(constants))
        self.assertEqual(sorted(_abi.FUNCTIONS), sorted(functions))

    def test_version(self):
        text = (INCLUDE / "rapt/version.h").read_text(encoding="utf-8")
        parts = re.findall(r"#define RAPT_VERSION_[MP]\w+ (\d+)", text)
        self.assertEqual(rapt.__version__, ".".join(parts))


if __name__ == "__main__":
    unittest.main()
