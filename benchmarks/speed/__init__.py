"""The searches, a build and a command, measured, beside other libraries: writes docs/benchmarks.md."""
