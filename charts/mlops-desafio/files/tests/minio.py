"""The artifacts of models are objects in the store."""

import os
import sys
import time

import boto3
from botocore.exceptions import BotoCoreError

store = boto3.client("s3", endpoint_url=os.environ["S3"])
deadline = time.monotonic() + 20
while True:
    try:
        pages = store.get_paginator("list_objects_v2").paginate(Bucket=os.environ["BUCKET"])
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        break
    except BotoCoreError as error:
        if time.monotonic() > deadline:
            sys.exit(f"the object store does not answer: {error}")
        time.sleep(0.5)
graphs = [key for key in keys if key.endswith("/artifacts/model.onnx")]
assert graphs, f"no model among {len(keys)} objects"
size = store.head_object(Bucket=os.environ["BUCKET"], Key=graphs[0])["ContentLength"]
assert size > 0, graphs[0]
print(f"{len(keys)} objects, {len(graphs)} graphs; {graphs[0]} has {size} bytes")
