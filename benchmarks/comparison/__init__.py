"""What `benchmarks/compare.py` is made of: the case, the engines, measuring, and the document."""
