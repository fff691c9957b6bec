// Makes vector.json: webhooks as fal signs them, by the crypto module of Node.js.
//
//	node vector.mjs > vector.json
//
// The keys are made of fixed seeds, so that the output does not change.
import { createHash, createPrivateKey, createPublicKey, sign } from "node:crypto";

const user = "auth0|64d1c0de5eed";
const requestID = "764cabcf-b745-4b3e-ae38-1200304cf45b";
const timestamp = "1764500000";

// privateKey wraps a seed of 32 bytes as PKCS #8, see RFC 8410.
const privateKey = (seed) => createPrivateKey({
  key: Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.alloc(32, seed)]), format: "der", type: "pkcs8",
});

const keys = [privateKey(1), privateKey(2)];
const bodies = [
  `{"request_id": "${requestID}", "gateway_request_id": "${requestID}", "status": "OK", "payload": {"video": {"url": "https://v3b.fal.media/files/b/kangaroo/x.mp4", "content_type": "video/mp4"}}}`,
  `{"request_id":"${requestID}","gateway_request_id":"another","status":"ERROR","error":"Invalid status code: 422","payload":{"detail":[{"loc":["body","prompt"],"msg":"Unzul\\u00e4ssig: näher","type":"content_policy_violation"}]}}\n`,
];

console.log(JSON.stringify({
  jwks: { keys: keys.map((key) => createPublicKey(key).export({ format: "jwk" })) },
  webhooks: bodies.map((body, i) => {
    const hash = createHash("sha256").update(body, "utf8").digest("hex");
    const signature = sign(null, Buffer.from([requestID, user, timestamp, hash].join("\n"), "utf8"), keys[i]).toString("hex");
    return { body, request_id: requestID, user_id: user, timestamp, signature };
  }),
}, null, 2));
