"""llama.cpp's quantisation of an f16 GGUF, and the metadata that is set on the way."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

import llama_cpp
from millrace.errors import InvalidInput, TrainingFailed

from training_containers.serve import llama as _quiet  # noqa: F401 - sends llama.cpp's chatter nowhere

from . import imatrix
from .imatrix import Importance

TYPES: Final = {
    "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    "Q6_K": llama_cpp.LLAMA_FTYPE_MOSTLY_Q6_K,
    "Q5_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q5_K_M,
    "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
}
"""Name -> llama.cpp's ftype. K types want rows of a multiple of 256; llama.cpp takes a wider type for others."""
SPACE_PREFIX: Final = b"tokenizer.ggml.add_space_prefix"


def quantize(source: Path, to: Path, type: str, threads: int, importance: Importance | None = None) -> Path:
    """Write `source` (f16) as `type`, its rounding weighed by `importance` where it was measured."""
    if type not in TYPES:
        raise InvalidInput(f"{type!r} is no quantisation of the ladder; there are {', '.join(TYPES)}.")
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype, parameters.nthread = TYPES[type], threads
    weights = imatrix.handed(importance or {})
    if importance:
        parameters.imatrix = weights
    return _run(source, to, parameters)


def without_space_prefix(source: Path, to: Path) -> Path:
    """A copy that says a text is not opened by a space: for tokenizers that only open the whole prompt with one."""
    overrides = (llama_cpp.llama_model_kv_override * 2)()  # the second stays empty: the end of the list
    overrides[0].tag = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_BOOL
    overrides[0].key = SPACE_PREFIX
    overrides[0].value.val_bool = False
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype, parameters.only_copy = llama_cpp.LLAMA_FTYPE_MOSTLY_F16, True
    parameters.kv_overrides = ctypes.cast(overrides, ctypes.POINTER(llama_cpp.llama_model_kv_override))
    return _run(source, to, parameters)


def _run(source: Path, to: Path, parameters: llama_cpp.llama_model_quantize_params) -> Path:
    if llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(to), ctypes.byref(parameters)):
        raise TrainingFailed(f"llama.cpp could not write {to.name} from {source.name}.")
    return to
