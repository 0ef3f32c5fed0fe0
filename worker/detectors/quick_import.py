"""Imports the networks' libraries without torch's compiler, which takes most of the time that they take together.

Two of their lines name it at import: torchvision's `roi_align` looks whether it can be used, and timm's NaFlex keeps a
function from it. No detector has either.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

_COMPILER, _UTILS = "torch._dynamo", "torch._dynamo.utils"
_LIBRARIES = ("torchvision", "timm", "open_clip")


def import_quickly() -> None:
    """Import torchvision, timm and open_clip; the compiler is imported once something is compiled.

    To be called before there are threads. It does nothing where one of them, or the compiler, is imported already.
    """
    if any(name in sys.modules for name in (*_LIBRARIES, _COMPILER)):
        return
    compiler, utils = ModuleType(_COMPILER), ModuleType(_UTILS)
    compiler.__dict__["disable"] = _leave
    utils.__dict__["is_compile_supported"] = _is_compile_supported
    sys.modules.update({_COMPILER: compiler, _UTILS: utils})
    try:
        for name in _LIBRARIES:
            import_module(name)
    finally:
        del sys.modules[_COMPILER], sys.modules[_UTILS]


def _leave(function: Callable[..., Any], *_: object, **__: object) -> Callable[..., Any]:
    return function


def _is_compile_supported(device: str) -> bool:
    return bool(import_module(_UTILS).is_compile_supported(device))
