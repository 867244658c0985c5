// Sends COUNT events with @rudderstack/rudder-sdk-node to PERENNIAL_URL, and fails if any could not be delivered.
import RudderAnalytics from '@rudderstack/rudder-sdk-node'

const count = Number(process.env.COUNT)
const failures = []
const analytics = new RudderAnalytics(process.env.WRITE_KEY, {
  dataPlaneUrl: process.env.PERENNIAL_URL,
  flushAt: 15,
  timeout: 3_000,
  retryCount: 10,
  // Time-outs of their own kind count as refusals otherwise.
  axiosRetryConfig: { retryDelay: () => 200, shouldResetTimeout: true },
  errorHandler: (error) => failures.push(error),
  logLevel: 'silly',
})
const delivered = []
for (let n = 0; n < count; n++) {
  const userId = `rudder-node-${process.pid}-${n % 10}`
  delivered.push(
    new Promise((resolve) => {
      if (n < 10) {
        analytics.identify({ userId, traits: { email: `${userId}@example.com` } }, resolve)
      } else {
        analytics.track({ userId, event: 'Product Viewed', properties: { product_id: 'p1' } }, resolve)
      }
    }),
  )
}
await analytics.flush()
await Promise.all(delivered)
if (failures.length > 0) {
  console.error(failures)
  process.exit(1)
}
process.exit(0)
