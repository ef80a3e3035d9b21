"""Every check of this repository, one after the other; ends with 1 if any of them fails.

Run it with the Python of an environment in which `.[dev]` is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = Path(sysconfig.get_path("scripts"))


def tool(name: str) -> str:
    """Path of a program of this environment."""
    return str(SCRIPTS / name)


def cpp_files() -> list[str]:
    """The C++ sources."""
    folders = ("cpp", "bindings", "tests/cpp", "benchmarks/cpp")
    return sorted(
        str(path)
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".h", ".cpp")
    )


def checks() -> dict[str, list[str]]:
    """The commands by name."""
    python = sys.executable
    return {
        "ruff check": [tool("ruff"), "check", "."],
        "ruff format": [tool("ruff"), "format", "--check", "."],
        "mypy": [python, "-m", "mypy"],
        "import contract": [tool("lint-imports")],
        "clang-format": [tool("clang-format"), "--dry-run", "--Werror", *cpp_files()],
        # Warnings are errors in the presets.
        "C++ configure": [
            *(tool("cmake"), "--preset", "sanitizers", "-G", "Ninja"),
            f"-DPython_EXECUTABLE={python}",
        ],
        "C++ build": [tool("cmake"), "--build", "--preset", "sanitizers"],
        "C++ tests, sanitized": [tool("ctest"), "--preset", "sanitizers", "--parallel", "2"],
        # A file at a time: its tests share banks.
        "Python tests": [python, "-m", "pytest", "-n", "2", "--dist", "loadfile"],
    }


def main() -> int:
    """Run all checks, the later ones too when one fails."""
    failed = []
    environment = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}
    for name, command in checks().items():
        print(f"== {name}", flush=True)
        start = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        print(f"== {name}: {'ok' if code == 0 else 'FAILED'}, {time.monotonic() - start:.0f} s")
        if code != 0:
            failed.append(name)
    print("all checks passed" if not failed else f"failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
