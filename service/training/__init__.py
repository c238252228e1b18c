"""Trainings as the serving process sees them: uploads, the queue, a run, retention."""
