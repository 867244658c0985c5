// Sends COUNT events with @segment/analytics-next, in a page of another site, to PERENNIAL_URL, and fails if any could not
// be delivered. The page is jsdom's: it asks before it sends to another site, and reads only answers that allow it.
import { JSDOM } from 'jsdom'

const page = new JSDOM('<!doctype html><title>Shop</title>', {
  url: 'https://shop.example/cart?utm_source=news&utm_campaign=spring',
  pretendToBeVisual: true,
})
const names = ['document', 'navigator', 'location', 'localStorage', 'sessionStorage', 'screen', 'history', 'XMLHttpRequest']
const define = (name, value) =>
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
define('window', page.window)
for (const name of names) define(name, page.window[name])
// Node's own would send to anybody without asking; without it the library takes the page's.
delete globalThis.fetch

const { AnalyticsBrowser } = await import('@segment/analytics-next')
const count = Number(process.env.COUNT)
const analytics = AnalyticsBrowser.load({ writeKey: process.env.WRITE_KEY, cdnURL: process.env.PERENNIAL_URL })
await analytics.ready()
const delivered = []
const [instance] = await analytics
instance.on('dispatch_delivered', () => {})
for (let n = 0; n < count; n++) {
  const sent =
    n === 0
      ? analytics.identify(`next-${process.pid}`, { email: `next-${process.pid}@example.com` })
      : analytics.track('Product Viewed', { product_id: 'p1', price: '19.90' })
  delivered.push(sent)
}
await Promise.all(delivered)
// What failed at first waits in the library's queue until its next try.
const waiting = () => instance.queue.queue.todo + instance.queue.queue.future.length
for (let tries = 0; waiting() > 0 && tries < 600; tries++) await new Promise((wake) => setTimeout(wake, 100))
page.window.close()
process.exit(waiting() > 0 ? 1 : 0)
