"""Child processes: the work that is kept away from serving."""

from service.children.children import Children
from service.children.classifier import ChildClassifier, ClassifierUnavailable
from service.children.job import Job, JobFailed, JobStopped
from service.children.limits import JobLimits

__all__ = [
    "ChildClassifier",
    "Children",
    "ClassifierUnavailable",
    "Job",
    "JobFailed",
    "JobLimits",
    "JobStopped",
]
