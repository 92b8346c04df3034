"""Load orders from a shop's export into a warehouse: three steps, one job.

Run it:

    python examples/data_pipeline.py
"""

import csv
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from flowyml_aws import Pipeline, step


@step(outputs=["raw"], execution_group="etl")
def extract():
    return fetch_from_source()


@step(inputs=["raw"], outputs=["transformed"], execution_group="etl")
def transform(raw):
    return apply_transformations(raw)


@step(inputs=["transformed"], outputs=["loaded"], execution_group="etl")
def load(transformed):
    save_to_warehouse(transformed)
    return "success"


# Sample data in place of a file or a service; like real exports, it is incomplete and untidy.
EXPORT = """\
order,country,amount
1001,de,19.90
1002,FR,5.00
1003,fr ,12.50
1004,de,
1005,DE,30.10
1003,fr ,12.50
1006,it,n/a
1007,it,8.00
"""


def fetch_from_source():
    return list(csv.DictReader(EXPORT.splitlines()))


def apply_transformations(rows):
    """Return each valid order once, with its country in upper case and its amount in cents."""
    orders = {}
    for row in rows:
        try:
            cents = round(float(row["amount"]) * 100)
        except ValueError:
            print(f"ignored order {row['order']}: its amount is {row['amount']!r}")
            continue
        orders[int(row["order"])] = (row["country"].strip().upper(), cents)
    return [(order, country, cents) for order, (country, cents) in sorted(orders.items())]


def save_to_warehouse(orders):
    """Insert or replace orders by id, so that a retry of the step has no further effect."""
    with closing(sqlite3.connect(warehouse())) as database, database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, country, cents)"
        )
        database.executemany("INSERT OR REPLACE INTO orders VALUES (?, ?, ?)", orders)
    print(f"loaded {len(orders)} orders into {warehouse()}")


def warehouse():
    return Path(tempfile.gettempdir(), "flowyml-aws-example.sqlite")


pipeline = Pipeline("data_pipeline").add_steps([extract, transform, load])

if __name__ == "__main__":
    result = pipeline.run()
    if result.success:
        with closing(sqlite3.connect(warehouse())) as database:
            sums = "SELECT country, SUM(cents) / 100.0 FROM orders GROUP BY country"
            for country, amount in database.execute(sums):
                print(f"{country}  {amount:8.2f}")
    sys.exit(0 if result.success else 1)
