"""What a decoder process has at hand before it confines itself."""

import subprocess
import sys

AFTERWARDS = """
from worker.decoders.child import load_codecs
import sys
load_codecs()
sys.meta_path.clear()
b"\\xef\\xbb\\xbfx".decode("utf-8-sig")
b"x\\x00".decode("utf-16-le")
"x".encode("shift_jis")
print("read")
"""


def test_every_codec_is_there_before_files_may_be_out_of_reach() -> None:
    # In a process of its own: this one may have imported them already.
    done = subprocess.run([sys.executable, "-c", AFTERWARDS], capture_output=True, text=True, check=False)
    assert done.stdout == "read\n", done.stderr
