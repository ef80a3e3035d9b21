"""The bank: training activations and images on disk, one memory-mapped array per file."""
