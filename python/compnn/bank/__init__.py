"""The bank: training activations and images on disk, in shards."""
