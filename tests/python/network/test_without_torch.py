"""Where PyTorch is absent, all else is there, and what needs it says so."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
sys.modules["torch"] = None  # as if it were not installed
from compnn import *
import compnn
for name in ("TorchNetwork", "export"):
    try:
        getattr(compnn, name)
    except compnn.CompnnError as error:
        print(error)
"""


def test_pytorch_is_imported_only_where_it_is_needed() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert (
        first == "compnn.TorchNetwork needs PyTorch; install it with `pip install 'compnn[torch]'`"
    )
    assert second.startswith("compnn.export needs PyTorch")
