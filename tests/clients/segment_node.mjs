// Sends COUNT events with @segment/analytics-node to PERENNIAL_URL, and fails if any could not be delivered.
import { Analytics } from '@segment/analytics-node'

const count = Number(process.env.COUNT)
const failures = []
const analytics = new Analytics({
  writeKey: process.env.WRITE_KEY,
  host: process.env.PERENNIAL_URL,
  maxRetries: 10,
  httpRequestTimeout: 3_000,
})
analytics.on('error', (error) => failures.push(error))
for (let n = 0; n < count; n++) {
  const userId = `node-${process.pid}-${n % 10}`
  if (n < 10) {
    analytics.identify({ userId, traits: { email: `${userId}@example.com` } })
  } else {
    analytics.track({ userId, event: 'Product Viewed', properties: { product_id: 'p1' } })
  }
}
await analytics.closeAndFlush({ timeout: 60_000 })
if (failures.length > 0) {
  console.error(failures)
  process.exit(1)
}
