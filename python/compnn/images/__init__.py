"""Pictures: what they are, their files, their palettes, and how near one is to another."""
