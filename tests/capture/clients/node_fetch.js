// fetch, as node brings it; streams piece by piece; bodies as text and as bytes.
'use strict';
const plan = require('./plan.js');

(async () => {
  let text = false;
  for (const { url, headers, body } of plan.requests()) {
    text = !text;
    const response = await fetch(url, { method: 'POST', headers, body: text ? body.toString() : body });
    const pieces = [];
    for await (const piece of response.body) pieces.push(Buffer.from(piece));
    plan.say(response.status, Buffer.concat(pieces));
  }
})();
