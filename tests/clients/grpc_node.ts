// Sends COUNT events over gRPC to PERENNIAL_ADDR by clients generated from our protos: one by one, as a batch, as a stream
// that is counted at its end, and as a stream that is answered batch by batch.
//
// Generate the clients with any protoc and @bufbuild/protoc-gen-es:
//
//   protoc -I proto --es_out=gen --es_opt=target=ts,import_extension=js \
//     proto/perennial/access/v1/*.proto proto/perennial/ingestion/v1/*.proto
import assert from 'node:assert/strict'
import { create } from '@bufbuild/protobuf'
import { timestampNow } from '@bufbuild/protobuf/wkt'
import { createClient, type Client, type Interceptor } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import {
  EventOutcome_Result as Result,
  EventSchema,
  IngestionService,
  type Event,
} from './gen/perennial/ingestion/v1/ingestion_service_pb.js'

type Ingestion = Client<typeof IngestionService>

const parent = 'workspaces/main'
const run = `grpc-node-${process.pid}`

// An order, as an event. The message id is what a repetition is known by.
function order(number: number): Event {
  return create(EventSchema, {
    messageId: `${run}-${number}`,
    type: 'track',
    userId: `${run}-${number % 20}`,
    event: 'Order Completed',
    properties: {
      order_id: `${run}-${number}`,
      revenue: '19.90',
      currency: 'EUR',
      products: [{ product_id: 'p1', quantity: 2, price: 9.95 }],
    },
    eventTime: timestampNow(),
  })
}

async function oneByOne(ingestion: Ingestion, events: Event[]) {
  for (const event of events) {
    const outcome = await ingestion.ingestEvent({ parent, event })
    assert.equal(outcome.result, Result.ACCEPTED)
  }
}

async function asABatch(ingestion: Ingestion, events: Event[]) {
  // One repetition, and one that cannot be taken: neither costs the others anything.
  const wrong = create(EventSchema, { type: 'track', userId: run, event: 'Order Completed', messageId: `${run}-wrong` })
  const { outcomes } = await ingestion.ingestEvents({ parent, events: [...events, events[0]!, wrong] })
  assert.deepEqual(
    outcomes.map((it) => it.result),
    [...events.map(() => Result.ACCEPTED), Result.DUPLICATE, Result.REJECTED],
  )
  const rejected = outcomes.at(-1)
  assert.equal(rejected?.field, 'properties.order_id')
  assert.ok(rejected?.remedy)
}

// Events in batches of ten; the workspace is said once.
async function* batches(events: Event[]) {
  for (let first = 0; first < events.length; first += 10) {
    yield { parent: first === 0 ? parent : '', events: events.slice(first, first + 10) }
  }
}

async function asACountedStream(ingestion: Ingestion, events: Event[]) {
  const counts = await ingestion.ingestStream(batches(events))
  assert.equal(counts.acceptedCount, BigInt(events.length))
}

async function asAnAnsweredStream(ingestion: Ingestion, events: Event[]) {
  // The generator is asked for the next batch only as quickly as the server takes them.
  let accepted = 0
  for await (const { outcomes } of ingestion.streamEvents(batches(events))) {
    accepted += outcomes.filter((it) => it.result === Result.ACCEPTED).length
  }
  assert.equal(accepted, events.length)
}

// Says who calls, where the server asks for it.
const withToken: Interceptor = (next) => (request) => {
  const token = process.env.PERENNIAL_TOKEN
  if (token) request.header.set('authorization', `Bearer ${token}`)
  return next(request)
}

const transport = createGrpcTransport({
  baseUrl: `http://${process.env.PERENNIAL_ADDR}`,
  interceptors: [withToken],
})
const ingestion = createClient(IngestionService, transport)
const count = Number(process.env.COUNT)
const events = Array.from({ length: count }, (_, number) => order(number))
const quarter = Math.floor(count / 4)
await oneByOne(ingestion, events.slice(0, quarter))
await asABatch(ingestion, events.slice(quarter, 2 * quarter))
await asACountedStream(ingestion, events.slice(2 * quarter, 3 * quarter))
await asAnAnsweredStream(ingestion, events.slice(3 * quarter))
