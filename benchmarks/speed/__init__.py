"""The searches beside other libraries, a build and a command: writes docs/benchmarks.md."""
