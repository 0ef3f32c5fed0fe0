import subprocess
import sys

# Makes these look as if they were not installed, as in the API's own image.
PROGRAM = """
import sys
for name in ("torch", "numpy", "PIL", "torchvision", "timm", "open_clip", "sklearn", "training"):
    sys.modules[name] = None
import socket
def no_network(*_):
    raise AssertionError("importing connects")
socket.socket.connect = no_network
import api.main
assert callable(api.main.app_from_environment)
"""


def test_the_api_imports_without_torch_numpy_or_pillow() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
