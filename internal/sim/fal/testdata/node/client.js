// Calls the simulator with the official client of fal, whose only setting other than the key is where its two hosts are. It prints
// one line per step as JSON.
//
//	NODE_PATH=…/node_modules FAL_KEY=key-1 SIMULATOR=http://127.0.0.1:8090 SOURCE=https://example.com/in.mp4 node client.js
"use strict";

const { createFalClient } = require("@fal-ai/client");

const hosts = { "https://queue.fal.run": "/fal", "https://rest.fal.ai": "/fal-rest" };

const fal = createFalClient({
  credentials: process.env.FAL_KEY,
  requestMiddleware: async (request) => {
    const url = new URL(request.url);
    const path = hosts[url.origin];
    if (path === undefined) {
      throw new Error(`unexpected host ${url.origin}`);
    }
    return { ...request, url: process.env.SIMULATOR + path + url.pathname + url.search };
  },
});

const model = "fal-ai/luma-dream-machine/ray-2/modify";
const video_url = process.env.SOURCE;
const print = (step, values) => console.log(JSON.stringify({ step, ...values }));

async function byCalls() {
  const queued = await fal.queue.submit(model, {
    input: { video_url, prompt: "by calls", mode: "flex_1" },
    webhookUrl: process.env.WEBHOOK,
    startTimeout: 60,
    storageSettings: { expiresIn: "1d" },
  });
  print("submit", { status: queued.status, position: queued.queue_position });
  const requestId = queued.request_id;
  const ended = await fal.queue.subscribeToStatus(model, { requestId, logs: true, pollInterval: 20 });
  print("status", { status: ended.status, logs: ended.logs.length, metrics: typeof ended.metrics.inference_time });
  const result = await fal.queue.result(model, { requestId });
  print("result", { same: result.requestId === requestId, type: result.data.video.content_type, size: result.data.video.file_size });
  const file = await fetch(result.data.video.url);
  print("download", { status: file.status, size: (await file.arrayBuffer()).byteLength });
}

async function early() {
  const { request_id: requestId } = await fal.queue.submit(model, { input: { video_url, prompt: "[sim:processing=1h]" } });
  const error = await fal.queue.result(model, { requestId }).catch((e) => e);
  print("early result", { status: error.status, body: error.body });
}

async function byStream() {
  const seen = [];
  const result = await fal.subscribe(model, {
    input: { video_url, prompt: "by stream [sim:processing=100ms]" },
    mode: "streaming",
    onQueueUpdate: (update) => seen.push(update.status),
  });
  print("stream", { last: seen.at(-1), type: result.data.video.content_type });
}

async function failed() {
  const input = { video_url, prompt: "[sim:fail=content_policy_violation]" };
  const error = await fal.subscribe(model, { input, pollInterval: 20 }).catch((e) => e);
  print("failed", { name: error.name, status: error.status, type: error.fieldErrors?.[0]?.type });
}

async function canceled() {
  const { request_id: requestId } = await fal.queue.submit(model, { input: { video_url, prompt: "[sim:queued=1h]" } });
  await fal.queue.cancel(model, { requestId });
  const ended = await fal.queue.subscribeToStatus(model, { requestId, pollInterval: 20 });
  print("canceled", { status: ended.status, type: ended.error_type });
  const again = await fal.queue.cancel(model, { requestId }).catch((e) => e);
  print("canceled again", { status: again.status, body: again.body });
}

async function withdrawn() {
  const error = await fal.queue.submit(model, { input: { video_url, prompt: "[sim:withdrawn]" } }).catch((e) => e);
  print("withdrawn", { name: error.name, status: error.status, body: error.body });
}

async function uploaded(name, bytes) {
  const address = await fal.storage.upload(new File([new Uint8Array(bytes).fill(7)], name, { type: "video/mp4" }));
  const file = await fetch(address);
  const content = new Uint8Array(await file.arrayBuffer());
  print("upload", { name, bytes, whole: content.length === bytes && content.every((b) => b === 7) });
}

async function main() {
  await byCalls();
  await early();
  await byStream();
  await failed();
  await canceled();
  await withdrawn();
  await uploaded("small.mp4", 1000);
  await uploaded("large.mp4", 91 * 1024 * 1024); // In parts.
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
