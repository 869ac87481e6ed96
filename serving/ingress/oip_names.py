"""Words of the Open Inference Protocol v2 that doors and clients share."""

from __future__ import annotations

__all__ = ["ALL", "DATATYPES", "INPUT", "OUTPUT", "VERSION"]

ALL = "all"
"""name of the model that serves every task"""
VERSION = "1"
INPUT, OUTPUT = "image", "prediction"
DATATYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "float16": "FP16", "float32": "FP32", "float64": "FP64",
}  # fmt: skip
