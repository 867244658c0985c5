"""Sends COUNT events over gRPC to PERENNIAL_ADDR by clients generated from our protos: one by one, as a batch, as a
stream that is counted at its end, and as a stream that is answered batch by batch.

Generate the clients with

    python -m grpc_tools.protoc -I proto --python_out=gen --grpc_python_out=gen \
        proto/perennial/access/v1/*.proto proto/perennial/ingestion/v1/*.proto
"""

import os
from datetime import datetime, timezone

import grpc
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from perennial.ingestion.v1 import ingestion_service_pb2 as wire
from perennial.ingestion.v1 import ingestion_service_pb2_grpc as rpc

PARENT = "workspaces/main"
RUN = f"grpc-python-{os.getpid()}"
ACCEPTED = wire.EventOutcome.RESULT_ACCEPTED
DUPLICATE = wire.EventOutcome.RESULT_DUPLICATE
REJECTED = wire.EventOutcome.RESULT_REJECTED


def order(number: int) -> wire.Event:
    """An order, as an event. The message id is what a repetition is known by."""
    properties = Struct()
    properties.update({"order_id": f"{RUN}-{number}", "revenue": "19.90", "currency": "EUR"})
    properties.update({"products": [{"product_id": "p1", "quantity": 2, "price": 9.95}]})
    at = Timestamp()
    at.FromDatetime(datetime.now(timezone.utc))
    return wire.Event(
        message_id=f"{RUN}-{number}",
        type="track",
        user_id=f"{RUN}-{number % 20}",
        event="Order Completed",
        properties=properties,
        event_time=at,
    )


def one_by_one(ingestion: rpc.IngestionServiceStub, events: list[wire.Event]) -> None:
    for event in events:
        outcome = ingestion.IngestEvent(wire.IngestEventRequest(parent=PARENT, event=event), timeout=10)
        assert outcome.result == ACCEPTED, outcome


def as_a_batch(ingestion: rpc.IngestionServiceStub, events: list[wire.Event]) -> None:
    # One repetition, and one that cannot be taken: neither costs the others anything.
    wrong = wire.Event(type="track", user_id=RUN, event="Order Completed", message_id=f"{RUN}-wrong")
    request = wire.IngestEventsRequest(parent=PARENT, events=[*events, events[0], wrong])
    outcomes = ingestion.IngestEvents(request, timeout=10).outcomes
    assert [it.result for it in outcomes] == [ACCEPTED] * len(events) + [DUPLICATE, REJECTED], outcomes
    assert outcomes[-1].field == "properties.order_id" and outcomes[-1].remedy, outcomes[-1]


def batches(message, events: list[wire.Event]):
    """Events in batches of ten; the workspace is said once."""
    for first in range(0, len(events), 10):
        parent = PARENT if first == 0 else ""
        yield message(parent=parent, events=events[first : first + 10])


def as_a_counted_stream(ingestion: rpc.IngestionServiceStub, events: list[wire.Event]) -> None:
    counts = ingestion.IngestStream(batches(wire.IngestStreamRequest, events), timeout=30)
    assert (counts.accepted_count, counts.rejected_count) == (len(events), 0), counts


def as_an_answered_stream(ingestion: rpc.IngestionServiceStub, events: list[wire.Event]) -> None:
    # The generator is asked for the next batch only as quickly as the server takes them.
    accepted = 0
    for answer in ingestion.StreamEvents(batches(wire.StreamEventsRequest, events)):
        accepted += sum(it.result == ACCEPTED for it in answer.outcomes)
    assert accepted == len(events), accepted


def main() -> None:
    count = int(os.environ["COUNT"])
    events = [order(number) for number in range(count)]
    quarter = count // 4
    with grpc.insecure_channel(os.environ["PERENNIAL_ADDR"]) as channel:
        token = os.environ.get("PERENNIAL_TOKEN")
        if token:
            channel = grpc.intercept_channel(channel, WithToken(token))
        ingestion = rpc.IngestionServiceStub(channel)
        one_by_one(ingestion, events[:quarter])
        as_a_batch(ingestion, events[quarter : 2 * quarter])
        as_a_counted_stream(ingestion, events[2 * quarter : 3 * quarter])
        as_an_answered_stream(ingestion, events[3 * quarter :])


class WithToken(
    grpc.UnaryUnaryClientInterceptor, grpc.StreamUnaryClientInterceptor, grpc.StreamStreamClientInterceptor
):
    """Says who calls, where the server asks for it."""

    def __init__(self, token: str):
        self.metadata = [("authorization", f"Bearer {token}")]

    def intercept(self, proceed, details, request):
        return proceed(details._replace(metadata=[*(details.metadata or []), *self.metadata]), request)

    intercept_unary_unary = intercept_stream_unary = intercept_stream_stream = intercept


if __name__ == "__main__":
    main()
