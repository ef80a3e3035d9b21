"""The paper's tables and figures from the real data: writes docs/results.md."""
