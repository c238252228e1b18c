"""Child processes: the work that is kept away from serving."""

from service.children.children import Children
from service.children.classifier import ChildClassifier, ClassifierUnavailable
from service.children.job import Job, JobFailed, JobStopped

__all__ = [
    "ChildClassifier",
    "Children",
    "ClassifierUnavailable",
    "Job",
    "JobFailed",
    "JobStopped",
]
