"""Labelling by people, with Label Studio: pictures and a model's suggestions in, labels out."""

from project.interruption import end_in_one_line

end_in_one_line("annotation")
