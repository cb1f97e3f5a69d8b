"""What a classifier of crops is worth behind a detector: boxes and crops -> figures."""
