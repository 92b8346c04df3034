"""Add up the orders of two shops with one sub-pipeline, and compare their sales.

Run it:

    python examples/shops.py
"""

import sys

from flowyml_aws import Context, Pipeline, step


@step(inputs=["export"], outputs=["orders"], execution_group="clean")
def parse(export):
    """Return the lines of an export as orders: number, country and amount in cents."""
    rows = [line.split(",") for line in export.splitlines()]
    return [(number, country.strip().upper(), round(100 * float(x))) for number, country, x in rows]


@step(inputs=["orders"], outputs=["valid"], execution_group="clean")
def check(orders, smallest):
    """Return each order of at least the smallest amount once."""
    return sorted({order for order in orders if order[2] >= smallest})


@step(inputs=["valid"], outputs=["sales"])
def add(valid):
    """Return the sales in each country in cents."""
    countries = sorted({country for _, country, _ in valid})
    return {c: sum(cents for _, country, cents in valid if country == c) for c in countries}


# A pipeline of its own: sales.run(inputs={"export": "1,de,9.90"}) works, too.
sales = Pipeline("sales", Context(smallest=100)).add_steps([parse, check, add])


# Sample data in place of files or services.
@step(outputs=["online"])
def fetch_online():
    return "1001,de,19.90\n1002,FR,5.00\n1003,fr ,12.50\n1003,fr ,12.50\n1004,de,0.10"


@step(outputs=["store"])
def fetch_store():
    return "1,DE,30.10\n2,FR,8.00\n3,IT,4.40"


@step(inputs=["online_sales", "store_sales"], outputs=["share"])
def compare(online_sales, store_sales):
    """Return the share of the online shop in the sales of each country, in percent."""
    countries = sorted({*online_sales, *store_sales})
    online = [online_sales.get(country, 0) for country in countries]
    store = [store_sales.get(country, 0) for country in countries]
    return {c: round(100 * a / (a + b)) for c, a, b in zip(countries, online, store, strict=True)}


pipeline = Pipeline("shops").add_steps([fetch_online, fetch_store])
for shop in ("online", "store"):
    pipeline.add_sub_pipeline(
        sales,
        name=shop,
        input_mapping={shop: "export"},
        output_mapping={"sales": f"{shop}_sales"},
    )
pipeline.add_step(compare)

if __name__ == "__main__":
    result = pipeline.run()
    if result.success:
        for country, percent in result["share"].items():
            print(f"{country}  {percent:3d} % online")
    sys.exit(0 if result.success else 1)
