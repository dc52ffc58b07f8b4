// undici as a program brings it itself: request(), with a body as text and as a stream. The newest that this node can run.
'use strict';
const { Readable } = require('node:stream');

function newest() {
  try {
    return require('undici-newest');
  } catch {
    return require('undici');
  }
}

const { request } = newest();
const plan = require('./plan.js');

(async () => {
  let stream = false;
  for (const { url, headers, body } of plan.requests()) {
    stream = !stream;
    const answer = await request(url, { method: 'POST', headers, body: stream ? Readable.from([body]) : body.toString() });
    plan.say(answer.statusCode, Buffer.from(await answer.body.arrayBuffer()));
  }
})();
