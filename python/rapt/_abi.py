# SPDX-License-Identifier: Apache-2.0
"""The C headers in ctypes. Made by scripts/python-abi: change the headers instead."""

import ctypes
from typing import Any

OK = 0
INVALID_ARGUMENT = 1
UNSUPPORTED = 2
ISA_UNAVAILABLE = 3
OUT_OF_MEMORY = 4
INTERRUPTED = 5

NONE = 0
F32 = 1
BOOL = 2
F16 = 3
BF16 = 4
I8 = 5
Q8_0 = 6
I32 = 7

WEIGHTS_SOFTMAX = 0
WEIGHTS_SCALED = 1
WEIGHTS_CAPPED = 2
WEIGHTS_MASKED = 3

ROPE_HALVES = 0
ROPE_NEIGHBOURS = 1

ACTIVATION_NONE = 0
ACTIVATION_GELU = 1

MHA_EACH = 0
MHA_MEAN = 1
MHA_CHOSEN = 2

HEAD_PREVIOUS = 0
HEAD_SELF = 1
HEAD_FIRST = 2
HEAD_LOCAL = 3
HEAD_FOCUSED = 4
HEAD_BROAD = 5


class Tensor(ctypes.Structure):
    """rapt_tensor"""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_int),
        ("shape", ctypes.c_int64 * 4),
        ("stride", ctypes.c_int64 * 4),
    ]


class AttentionArgs(ctypes.Structure):
    """rapt_attention_args"""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("query", Tensor),
        ("key", Tensor),
        ("value", Tensor),
        ("out", Tensor),
        ("key_scale", Tensor),
        ("value_scale", Tensor),
        ("sequences", ctypes.c_int64),
        ("cu_q", ctypes.POINTER(ctypes.c_int64)),
        ("cu_k", ctypes.POINTER(ctypes.c_int64)),
        ("block_table", ctypes.POINTER(ctypes.c_int32)),
        ("block_table_stride", ctypes.c_int64),
        ("mask", Tensor),
        ("mask_start", ctypes.POINTER(ctypes.c_int64)),
        ("alibi", Tensor),
        ("sink", Tensor),
        ("lse", Tensor),
        ("max", Tensor),
        ("weights", Tensor),
        ("weights_kind", ctypes.c_int),
        ("entropy", Tensor),
        ("top_weight", Tensor),
        ("top_key", Tensor),
        ("distance", Tensor),
        ("segments", Tensor),
        ("segment_bounds", ctypes.POINTER(ctypes.c_int64)),
        ("diagonals", Tensor),
        ("diagonal_offsets", ctypes.POINTER(ctypes.c_int64)),
        ("received", Tensor),
        ("scale", ctypes.c_float),
        ("softcap", ctypes.c_float),
        ("causal", ctypes.c_bool),
        ("window_left", ctypes.c_int64),
        ("window_right", ctypes.c_int64),
        ("q_offset", ctypes.POINTER(ctypes.c_int64)),
        ("kv_len", ctypes.POINTER(ctypes.c_int64)),
        ("kv_start", ctypes.POINTER(ctypes.c_int64)),
        ("threads", ctypes.c_int),
        ("isa", ctypes.c_char_p),
        ("interrupted", ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)),
        ("interrupted_context", ctypes.c_void_p),
    ]


class AttentionData(ctypes.Structure):
    """rapt_attention_data"""

    _fields_ = [
        ("query", ctypes.c_void_p),
        ("key", ctypes.c_void_p),
        ("value", ctypes.c_void_p),
        ("key_scale", ctypes.c_void_p),
        ("value_scale", ctypes.c_void_p),
        ("mask", ctypes.c_void_p),
        ("alibi", ctypes.c_void_p),
        ("sink", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("lse", ctypes.c_void_p),
        ("max", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("entropy", ctypes.c_void_p),
        ("top_weight", ctypes.c_void_p),
        ("top_key", ctypes.c_void_p),
        ("distance", ctypes.c_void_p),
        ("segments", ctypes.c_void_p),
        ("diagonals", ctypes.c_void_p),
        ("received", ctypes.c_void_p),
        ("kv_len", ctypes.POINTER(ctypes.c_int64)),
        ("kv_start", ctypes.POINTER(ctypes.c_int64)),
        ("q_offset", ctypes.POINTER(ctypes.c_int64)),
        ("mask_start", ctypes.POINTER(ctypes.c_int64)),
        ("block_table", ctypes.POINTER(ctypes.c_int32)),
    ]


class RopeArgs(ctypes.Structure):
    """rapt_rope_args"""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("rotary_dim", ctypes.c_int64),
        ("pairing", ctypes.c_int),
        ("base", ctypes.c_double),
        ("frequencies", ctypes.POINTER(ctypes.c_double)),
        ("position_scale", ctypes.c_double),
        ("isa", ctypes.c_char_p),
    ]


class CacheArgs(ctypes.Structure):
    """rapt_cache_args"""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("kv_heads", ctypes.c_int64),
        ("head_dim", ctypes.c_int64),
        ("value_dim", ctypes.c_int64),
        ("key_dtype", ctypes.c_int),
        ("value_dtype", ctypes.c_int),
        ("sequences", ctypes.c_int64),
        ("capacity", ctypes.c_int64),
        ("page_size", ctypes.c_int64),
        ("pages", ctypes.c_int64),
        ("rope", ctypes.c_void_p),
        ("memory", ctypes.c_void_p),
        ("memory_size", ctypes.c_size_t),
        ("isa", ctypes.c_char_p),
    ]


class Isa(ctypes.Structure):
    """rapt_isa"""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("needs", ctypes.c_char_p),
        ("available", ctypes.c_bool),
        ("by_name", ctypes.c_bool),
        ("lanes", ctypes.c_int),
        ("panel_rows", ctypes.c_int),
        ("tile_rows", ctypes.c_int),
    ]


class LinearArgs(ctypes.Structure):
    """rapt_linear_args"""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("input", Tensor),
        ("out", Tensor),
        ("weight", Tensor),
        ("bias", Tensor),
        ("outer", Tensor),
        ("outer_bias", Tensor),
        ("activation", ctypes.c_int),
        ("threads", ctypes.c_int),
        ("isa", ctypes.c_char_p),
    ]


class MhaArgs(ctypes.Structure):
    """rapt_mha_args"""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("model_dim", ctypes.c_int64),
        ("context_dim", ctypes.c_int64),
        ("q_heads", ctypes.c_int64),
        ("kv_heads", ctypes.c_int64),
        ("head_dim", ctypes.c_int64),
        ("value_dim", ctypes.c_int64),
        ("w_query", Tensor),
        ("w_key", Tensor),
        ("w_value", Tensor),
        ("w_out", Tensor),
        ("b_query", Tensor),
        ("b_key", Tensor),
        ("b_value", Tensor),
        ("b_out", Tensor),
        ("rope", ctypes.c_void_p),
        ("scale", ctypes.c_float),
        ("softcap", ctypes.c_float),
        ("causal", ctypes.c_bool),
        ("window_left", ctypes.c_int64),
        ("window_right", ctypes.c_int64),
        ("threads", ctypes.c_int),
        ("isa", ctypes.c_char_p),
    ]


class MhaRunArgs(ctypes.Structure):
    """rapt_mha_run_args"""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("input", Tensor),
        ("out", Tensor),
        ("context", Tensor),
        ("cache", ctypes.c_void_p),
        ("first_sequence", ctypes.c_int64),
        ("context_cache", ctypes.c_void_p),
        ("mask", Tensor),
        ("kv_len", ctypes.POINTER(ctypes.c_int64)),
        ("kv_start", ctypes.POINTER(ctypes.c_int64)),
        ("positions", ctypes.POINTER(ctypes.c_int64)),
        ("weights", Tensor),
        ("weights_form", ctypes.c_int),
        ("heads", ctypes.POINTER(ctypes.c_int64)),
        ("head_count", ctypes.c_int64),
        ("first_row", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("cu", ctypes.POINTER(ctypes.c_int64)),
        ("sequences", ctypes.c_int64),
    ]


class HeadSummary(ctypes.Structure):
    """rapt_head_summary"""

    _fields_ = [
        ("queries", ctypes.c_int64),
        ("entropy", ctypes.c_double),
        ("focus", ctypes.c_double),
        ("distance", ctypes.c_double),
        ("locality", ctypes.c_double),
        ("previous", ctypes.c_double),
        ("self", ctypes.c_double),
        ("first", ctypes.c_double),
        ("kind", ctypes.c_int),
    ]


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "rapt_status_text": (ctypes.c_char_p, [ctypes.c_int]),
    "rapt_last_error": (ctypes.c_char_p, []),
    "rapt_tensor_bhsd": (
        Tensor,
        [
            ctypes.c_void_p,
            ctypes.c_int,
            ctypes.c_int64,
            ctypes.c_int64,
            ctypes.c_int64,
            ctypes.c_int64,
        ],
    ),
    "rapt_tensor_bshd": (
        Tensor,
        [
            ctypes.c_void_p,
            ctypes.c_int,
            ctypes.c_int64,
            ctypes.c_int64,
            ctypes.c_int64,
            ctypes.c_int64,
        ],
    ),
    "rapt_dtype_size": (ctypes.c_int64, [ctypes.c_int]),
    "rapt_dtype_block": (ctypes.c_int64, [ctypes.c_int]),
    "rapt_attention": (ctypes.c_int, [ctypes.POINTER(AttentionArgs)]),
    "rapt_plan_create": (
        ctypes.c_int,
        [
            ctypes.POINTER(AttentionArgs),
            ctypes.POINTER(ctypes.c_void_p),
        ],
    ),
    "rapt_plan_destroy": (None, [ctypes.c_void_p]),
    "rapt_plan_workspace_size": (ctypes.c_size_t, [ctypes.c_void_p]),
    "rapt_plan_threads": (ctypes.c_int, [ctypes.c_void_p]),
    "rapt_plan_isa": (ctypes.c_char_p, [ctypes.c_void_p]),
    "rapt_plan_run": (
        ctypes.c_int,
        [
            ctypes.c_void_p,
            ctypes.POINTER(AttentionData),
            ctypes.c_void_p,
            ctypes.c_size_t,
        ],
    ),
    "rapt_plan_slices_workspace_size": (ctypes.c_size_t, [ctypes.c_void_p, ctypes.c_int]),
    "rapt_plan_run_slice": (
        ctypes.c_int,
        [
            ctypes.c_void_p,
            ctypes.POINTER(AttentionData),
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_size_t,
        ],
    ),
    "rapt_merge": (
        ctypes.c_int,
        [
            ctypes.c_int,
            ctypes.POINTER(Tensor),
            ctypes.POINTER(Tensor),
            ctypes.POINTER(Tensor),
            ctypes.POINTER(Tensor),
        ],
    ),
    "rapt_rope_create": (ctypes.c_int, [ctypes.POINTER(RopeArgs), ctypes.POINTER(ctypes.c_void_p)]),
    "rapt_rope_destroy": (None, [ctypes.c_void_p]),
    "rapt_rope_apply": (
        ctypes.c_int,
        [
            ctypes.c_void_p,
            ctypes.POINTER(Tensor),
            ctypes.POINTER(ctypes.c_int64),
            ctypes.c_int64,
            ctypes.POINTER(Tensor),
        ],
    ),
    "rapt_cache_memory_size": (
        ctypes.c_int,
        [
            ctypes.POINTER(CacheArgs),
            ctypes.POINTER(ctypes.c_size_t),
        ],
    ),
    "rapt_cache_create": (
        ctypes.c_int,
        [
            ctypes.POINTER(CacheArgs),
            ctypes.POINTER(ctypes.c_void_p),
        ],
    ),
    "rapt_cache_destroy": (None, [ctypes.c_void_p]),
    "rapt_cache_append": (
        ctypes.c_int,
        [
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.POINTER(Tensor),
            ctypes.POINTER(Tensor),
            ctypes.POINTER(ctypes.c_int64),
        ],
    ),
    "rapt_cache_truncate": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]),
    "rapt_cache_fork": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]),
    "rapt_cache_length": (ctypes.c_int64, [ctypes.c_void_p, ctypes.c_int64]),
    "rapt_cache_pages_free": (ctypes.c_int64, [ctypes.c_void_p]),
    "rapt_cache_view": (
        ctypes.c_int,
        [
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_int64,
            ctypes.POINTER(AttentionArgs),
        ],
    ),
    "rapt_embed": (
        ctypes.c_int,
        [
            ctypes.c_int,
            ctypes.POINTER(Tensor),
            ctypes.POINTER(ctypes.POINTER(ctypes.c_int64)),
            ctypes.POINTER(Tensor),
        ],
    ),
    "rapt_isa_list": (ctypes.c_size_t, [ctypes.POINTER(ctypes.POINTER(Isa))]),
    "rapt_isa_choose": (ctypes.c_int, [ctypes.c_char_p, ctypes.POINTER(ctypes.POINTER(Isa))]),
    "rapt_cpu_features": (ctypes.c_char_p, []),
    "rapt_linear_workspace_size": (
        ctypes.c_int,
        [
            ctypes.POINTER(LinearArgs),
            ctypes.POINTER(ctypes.c_size_t),
        ],
    ),
    "rapt_linear": (ctypes.c_int, [ctypes.POINTER(LinearArgs), ctypes.c_void_p, ctypes.c_size_t]),
    "rapt_mha_create": (ctypes.c_int, [ctypes.POINTER(MhaArgs), ctypes.POINTER(ctypes.c_void_p)]),
    "rapt_mha_destroy": (None, [ctypes.c_void_p]),
    "rapt_mha_init_xavier": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_uint64]),
    "rapt_mha_workspace_size": (
        ctypes.c_int,
        [
            ctypes.c_void_p,
            ctypes.POINTER(MhaRunArgs),
            ctypes.POINTER(ctypes.c_size_t),
        ],
    ),
    "rapt_mha_run": (
        ctypes.c_int,
        [
            ctypes.c_void_p,
            ctypes.POINTER(MhaRunArgs),
            ctypes.c_void_p,
            ctypes.c_size_t,
        ],
    ),
    "rapt_mha_append_workspace_size": (
        ctypes.c_int,
        [
            ctypes.c_void_p,
            ctypes.POINTER(Tensor),
            ctypes.POINTER(ctypes.c_size_t),
        ],
    ),
    "rapt_mha_append": (
        ctypes.c_int,
        [
            ctypes.c_void_p,
            ctypes.POINTER(Tensor),
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_void_p,
            ctypes.c_size_t,
        ],
    ),
    "rapt_summarize_heads": (
        ctypes.c_int,
        [
            ctypes.POINTER(AttentionArgs),
            ctypes.POINTER(HeadSummary),
        ],
    ),
    "rapt_head_kind_name": (ctypes.c_char_p, [ctypes.c_int]),
    "rapt_rollout": (
        ctypes.c_int,
        [
            ctypes.c_int,
            ctypes.POINTER(Tensor),
            ctypes.c_double,
            ctypes.POINTER(Tensor),
            ctypes.c_int,
        ],
    ),
    "rapt_default_threads": (ctypes.c_int, []),
    "rapt_version": (ctypes.c_char_p, []),
}
