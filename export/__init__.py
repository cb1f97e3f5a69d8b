from project.interruption import end_in_one_line
from project.waiting import sleep_while_waiting

end_in_one_line(__name__)  # here, before any module of the room imports what takes seconds
sleep_while_waiting(__name__)
