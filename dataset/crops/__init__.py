"""Crops of annotated boxes as a data set of their own: what a classifier behind a detector learns from."""
