// Receives the events of tasks as webhooks, and prints them.
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'

interface Event {
  type: string // Such as task.succeeded, or webhook.test.
  timestamp: string
  data: { id?: string, state?: string, revision?: string, outputs?: Array<{ downloadUri: string, signedUri: string }> }
}

// It throws if the secret is missing, so that the program does not start without one.
const webhook = new Webhook(process.env.REFRACT_WEBHOOK_SECRET ?? '')

// read returns the body byte for byte: the signature covers it, so a body that was parsed and written again does not verify.
async function read (request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size > 64 * 1024) throw new Error('the body is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

// handle is called at least once for each event. An exception leads to another call, later.
async function handle (id: string, event: Event): Promise<void> {
  // Here: store the id and what follows from the event in one transaction. An id that is there already was handled.
  console.log(id, event.type, event.data.state, event.data.outputs?.length ?? 0)
}

const server = createServer(async (request, response) => {
  let event: Event
  try {
    // The signature covers ID.TIMESTAMP.BODY, so an id with a dot could contain the start of the true body.
    if (request.headers['webhook-id']?.includes('.')) throw new Error('the id has a dot')
    event = webhook.verify(await read(request), request.headers as Record<string, string>) as Event
  } catch (err) {
    console.error('refused:', (err as Error).message)
    response.writeHead(400).end()
    return
  }
  try {
    await handle(request.headers['webhook-id'] as string, event)
    response.writeHead(204).end()
  } catch (err) {
    console.error(err)
    response.writeHead(500).end()
  }
})

const [host, port] = (process.env.ADDRESS ?? '127.0.0.1:3000').split(':')
server.listen(Number(port), host, () => {
  console.log(`http://${host}:${(server.address() as AddressInfo).port}`)
})
