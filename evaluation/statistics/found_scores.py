"""Bounds on the scores of what a model finds, boxes and outlined parts alike; it loads nothing, as training asks."""

NEVER = -1.0  # of a thing that no answer finds: below every score
LEAST_SCORE = 0.01  # a candidate box must score more to be in a table, and is not compared below it
