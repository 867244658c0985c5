"""Sends COUNT events with segment-analytics-python to PERENNIAL_URL, and fails if any could not be delivered."""

import os
import sys

from segment.analytics.client import Client

failures = []
client = Client(
    os.environ["WRITE_KEY"],
    host=os.environ["PERENNIAL_URL"],
    on_error=lambda error, batch: failures.append(error),
    max_retries=10,
    timeout=3,
)
count = int(os.environ["COUNT"])
for n in range(count):
    user = f"python-{os.getpid()}-{n % 20}"
    if n < 20:
        client.identify(user, {"email": f"{user}@example.com", "plan": "basic"})
    elif n % 5 == 0:
        client.track(
            user,
            "Order Completed",
            {
                "order_id": f"{user}-{n}",
                "revenue": "19.90",
                "currency": "EUR",
                "products": [{"product_id": "p1", "price": 19.9, "quantity": 1}],
            },
        )
    else:
        client.track(user, "Product Viewed", {"product_id": "p1", "nothing": None})
client.shutdown()
sys.exit(str(failures) if failures else 0)
