"""The log of what was in use is rows in the database."""

import os
import sys
import time

import psycopg2

deadline = time.monotonic() + 20
while True:
    try:
        database = psycopg2.connect(
            host=os.environ["DATABASE"], user="mlflow", dbname="mlflow", connect_timeout=2
        )
        break
    except psycopg2.OperationalError as error:
        if time.monotonic() > deadline:
            sys.exit(f"the database does not answer: {error}")
        time.sleep(0.5)
with database, database.cursor() as cursor:
    cursor.execute("select max(version), count(*) from model_versions where name = 'in-use'")
    epoch, rows = cursor.fetchone()
assert rows, "there is no row for the model in use"
print(f"{rows} rows of what was in use; epoch {epoch}")
