"""Child processes: the work that is kept away from serving."""

from service.children.children import Children, Job, JobFailed, JobStopped

__all__ = ["Children", "Job", "JobFailed", "JobStopped"]
