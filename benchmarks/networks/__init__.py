"""Whether compnn reads networks rightly: files, and real architectures exported by PyTorch."""
