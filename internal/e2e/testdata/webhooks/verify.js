// Verifies requests with the official library of Standard Webhooks. It reads one request per line as JSON, with the secret and by how many
// seconds the clock is ahead, and prints "accepted" or why the request was refused.
//
//	NODE_PATH=…/node_modules node verify.js <requests
"use strict";

const { Webhook } = require("standardwebhooks");

const now = Date.now;

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { secret, headers, body, ahead } = JSON.parse(line);
    Date.now = () => now() + ahead * 1000;
    try {
      new Webhook(secret).verify(body, headers);
      console.log("accepted");
    } catch (error) {
      console.log(error.message);
    }
  });
