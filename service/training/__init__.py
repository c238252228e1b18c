"""Trainings in the serving process: uploads, the queue, a run, retention."""
