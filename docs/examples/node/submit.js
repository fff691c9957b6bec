// Submits a task over gRPC and follows it to its end.
const fs = require('node:fs')
const grpc = require('@grpc/grpc-js')
const protoLoader = require('@grpc/proto-loader')

// gen/refract.binpb of the repository: the whole contract, imports included.
const set = fs.readFileSync(process.env.REFRACT_CONTRACT || 'refract.binpb')
// The fields have the names of the contract, such as request_id.
const contract = protoLoader.loadFileDescriptorSetFromBuffer(set, { longs: String, enums: String, arrays: true })
const { refract } = grpc.loadPackageDefinition(contract)

const address = process.env.REFRACT_ADDRESS || '127.0.0.1:9090'
// Elsewhere than on loopback: grpc.credentials.createSsl().
const tasks = new refract.v1.TaskService(address, grpc.credentials.createInsecure())
const metadata = new grpc.Metadata()
metadata.set('authorization', 'Bearer ' + process.env.REFRACT_TOKEN)

const unary = (method, request) => new Promise((resolve, reject) =>
  tasks[method](request, metadata, { deadline: Date.now() + 30_000 }, (err, response) => err ? reject(err) : resolve(response)))

// follow yields every event of a task once and in order. A stream that breaks resumes after the newest revision seen.
async function * follow (taskId) {
  let revision = '0'
  for (;;) {
    try {
      for await (const update of tasks.WatchTask({ task_id: taskId, after_revision: revision }, metadata)) {
        if (!update.event) continue // A bookmark, which is a sign of life.
        revision = update.event.revision
        yield update.event
      }
      return // The task is terminal.
    } catch (err) {
      if (err.code !== grpc.status.UNAVAILABLE && err.code !== grpc.status.CANCELLED) throw err
      await new Promise(resolve => setTimeout(resolve, 1000))
    }
  }
}

async function main () {
  // The request id makes the call safe to repeat: one id, one task, one payment.
  const { task } = await unary('SubmitTask', {
    request_id: process.env.REQUEST_ID || 'order-4711',
    prompt: 'A neon city at dusk, in the rain',
    source: { uri: 'https://example.com/clip.mp4' }
  })
  for await (const event of follow(task.id)) {
    console.log(event.revision, event.state)
    for (const output of event.outputs) console.log(output.download_uri, output.sha256)
  }
  tasks.close()
}

main().catch(err => {
  console.error(err.message)
  process.exit(1) // Whatever is still open.
})
