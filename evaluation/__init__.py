from project.interruption import end_in_one_line

end_in_one_line(__name__)  # here, before any module of the room imports what takes seconds
