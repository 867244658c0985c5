"""Sends COUNT events with rudder-sdk-python to PERENNIAL_URL, and fails if any could not be delivered."""

import os
import sys

from rudderstack.analytics.client import Client

failures = []
client = Client(
    os.environ["WRITE_KEY"],
    host=os.environ["PERENNIAL_URL"],
    on_error=lambda error, batch: failures.append(error),
    max_retries=10,
    timeout=3,
    gzip=True,
)
for n in range(int(os.environ["COUNT"])):
    user = f"rudder-python-{os.getpid()}-{n % 20}"
    if n < 20:
        client.identify(user, {"email": f"{user}@example.com", "plan": "basic"})
    else:
        client.track(user, "Product Viewed", {"product_id": "p1", "nothing": None})
client.shutdown()
sys.exit(str(failures) if failures else 0)
