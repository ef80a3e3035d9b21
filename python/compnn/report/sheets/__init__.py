"""The sheets that explanations and studies are drawn on."""
