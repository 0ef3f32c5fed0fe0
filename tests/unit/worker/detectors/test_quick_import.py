"""The networks' libraries are imported without torch's compiler, which is there once it is called for."""

import json
import subprocess
import sys

_IMPORT = """
import json, sys
from worker.detectors.quick_import import import_quickly
import_quickly()
import_quickly()
from worker.detectors import build
libraries = {"torchvision", "timm", "open_clip"}
found = {"compiler": "torch._dynamo" in sys.modules, "libraries": libraries <= set(sys.modules)}
import torch, torchvision
boxes = torchvision.ops.roi_align(torch.ones(1, 3, 8, 8), torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]]), 2)
compiled = torch.compile(lambda x: x + 1, backend="eager")(torch.ones(2))
print(json.dumps(found | {"boxes": list(boxes.shape), "compiled": compiled.tolist()}))
"""


def test_the_compiler_is_imported_when_something_needs_it_and_not_before() -> None:
    answer = subprocess.run([sys.executable, "-c", _IMPORT], check=True, capture_output=True, text=True)
    found = json.loads(answer.stdout)
    assert found == {"compiler": False, "libraries": True, "boxes": [1, 3, 2, 2], "compiled": [2.0, 2.0]}
