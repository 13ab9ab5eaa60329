# SPDX-License-Identifier: Apache-2.0
"""The models that scripts/get-model fetches, and a text for them: the project's own docs."""

import os
import pathlib

import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
TYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
LENGTHS = {"minilm": [17, 128, 512], "gemma": [30, 2000]}
FOLDERS = {"minilm": "all-MiniLM-L6-v2", "gemma": "gemma-3-270m"}
_GGUF = "gemma-3-270m-q4_k_m.gguf"


class Missing(Exception):
    """A model that isn't there."""


def _folder(name):
    data = os.environ.get("XDG_DATA_HOME") or pathlib.Path.home() / ".local/share"
    folder = pathlib.Path(data) / "rapt/models" / FOLDERS[name]
    if not folder.exists():
        command = "scripts/get-model" + (" gemma --accept" if name == "gemma" else "")
        raise Missing(f"no {folder}, expected what {command} fetches")
    return folder


def _converted(folder):
    """Gemma's weights as float32 in transformers' own files: reading GGUF takes a minute."""
    made = folder / "float32"
    if not made.exists():
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=_GGUF)
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=_GGUF, dtype=torch.float32)
        model.hf_quantizer = None  # it is no longer quantized, and can be saved
        del model.config.quantization_config
        part = folder / "float32.part"
        tokenizer.save_pretrained(part)
        model.save_pretrained(part)
        part.rename(made)
    return made


def load(name, type_name, length):
    """A model of a type, and so many tokens (1, length) at least."""
    folder = _folder(name)
    kind = AutoModel
    if name == "gemma":
        folder, kind = _converted(folder), AutoModelForCausalLM
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = kind.from_pretrained(folder, dtype=TYPES[type_name]).eval()
    text = "\n".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
    tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=length).input_ids
    if tokens.shape[1] < length:
        raise Missing(f"a text of {tokens.shape[1]} tokens, expected {length}")
    return model, tokens
