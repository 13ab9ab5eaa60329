# SPDX-License-Identifier: Apache-2.0
"""The version, whose only copy is in the C headers."""

import pathlib
import re

from setuptools import setup

header = pathlib.Path(__file__).resolve().parent.parent / "include/rapt/version.h"
parts = re.findall(r"#define RAPT_VERSION_[MP]\w+ (\d+)", header.read_text(encoding="utf-8"))
setup(version=".".join(parts))
