// Chromium without a window, driven over its own pipe. Commands and answers are lines of JSON (agent.mjs).
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from './agent.mjs'

// How long a page may take for what is waited for.
const PATIENCE_MS = 20_000

const profile = mkdtempSync(join(tmpdir(), 'realdid-browser-'))
const chromium = spawn(
  'chromium',
  [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    // What is asked for on loopback is all that it may ask for.
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1',
    '--remote-debugging-pipe',
    `--user-data-dir=${profile}`,
    'about:blank',
  ],
  { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
)
process.on('exit', () => {
  chromium.kill('SIGKILL')
  rmSync(profile, { recursive: true, force: true, maxRetries: 3 })
})

const waiting = new Map()
const listeners = new Set()
let last = 0
let text = ''
chromium.stdio[4].on('data', (chunk) => {
  text += chunk
  const messages = text.split('\0')
  text = messages.pop()
  for (const message of messages.map((one) => JSON.parse(one))) {
    if (message.id === undefined) {
      for (const listener of listeners) listener(message)
      continue
    }
    const { resolve, reject } = waiting.get(message.id)
    waiting.delete(message.id)
    if (message.error) reject(new Error(message.error.message))
    else resolve(message.result)
  }
})

const send = (method, params = {}, sessionId = undefined) =>
  new Promise((resolve, reject) => {
    last += 1
    waiting.set(last, { resolve, reject })
    chromium.stdio[3].write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`)
  })

const { targetId } = await send('Target.createTarget', { url: 'about:blank' })
const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true })
const page = (method, params) => send(method, params, sessionId)
await page('Page.enable')
await page('Network.enable')
await page('Runtime.enable')

const asked = []
const complaints = []
listeners.add(({ method, params }) => {
  if (method === 'Network.requestWillBeSent') asked.push(params.request.url)
  if (method === 'Runtime.exceptionThrown') complaints.push(params.exceptionDetails.text)
})

const evaluate = async (expression) => {
  const { result, exceptionDetails } = await page('Runtime.evaluate', {
    expression,
    awaitPromise: true,
    returnByValue: true,
    userGesture: true,
  })
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
  return result.value
}

const until = async (what, found) => {
  const end = Date.now() + PATIENCE_MS
  for (;;) {
    const value = await found()
    if (value) return value
    if (Date.now() > end) throw new Error(`${what} did not come`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const commands = {
  // Opens a page, and waits until it is there whole.
  open: async ({ url }) => {
    await page('Page.navigate', { url })
    await until('the page', async () => {
      const at = await evaluate('document.readyState + " " + location.href').catch(() => '')
      return at === `complete ${url}`
    })
    return { complaints }
  },

  // What an expression is on the page.
  see: async ({ expression }) => await evaluate(expression),

  // How the browser's wallet answers from now on: "respond" with a protocol and data, or "decline".
  wallet: async ({ action, protocol, response }) => {
    await page('DigitalCredentials.setVirtualWalletBehavior', { action, protocol, response })
  },

  // Clicks as a person does.
  click: async ({ selector }) => {
    const { x, y } = await evaluate(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)})
      element.scrollIntoView({ block: 'center' })
      const box = element.getBoundingClientRect()
      return { x: box.x + box.width / 2, y: box.y + box.height / 2 }
    })()`)
    for (const type of ['mousePressed', 'mouseReleased']) {
      await page('Input.dispatchMouseEvent', { type, x, y, button: 'left', clickCount: 1 })
    }
  },

  // Waits until an expression is true on the page.
  wait: async ({ expression }) => await until(expression, () => evaluate(expression).catch(() => false)),

  // Waits until the browser goes to an address that begins so.
  goes: async ({ to }) => await until(to, async () => asked.find((url) => url.startsWith(to))),

  picture: async ({ file }) => {
    const { data } = await page('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true })
    writeFileSync(file, Buffer.from(data, 'base64'))
  },
}

await serve(commands, {})
