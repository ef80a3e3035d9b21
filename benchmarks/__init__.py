"""Measurements that need a checkout: how fast compnn is, and what the paper's tables become."""
