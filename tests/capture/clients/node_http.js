// node:http and node:https, with connections kept alive; bodies in one piece and in several.
'use strict';
const http = require('node:http');
const https = require('node:https');
const plan = require('./plan.js');

const agents = { 'http:': new http.Agent({ keepAlive: true }), 'https:': new https.Agent({ keepAlive: true }) };

function post({ url, headers, body }, pieces) {
  const { protocol } = new URL(url);
  return new Promise((resolve, reject) => {
    const request = (protocol === 'https:' ? https : http).request(
      url,
      { method: 'POST', agent: agents[protocol], headers: { ...headers, 'Content-Length': body.length } },
      (response) => {
        const received = [];
        response.on('data', (piece) => received.push(piece));
        response.on('end', () => resolve([response.statusCode, Buffer.concat(received)]));
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    if (pieces) {
      request.write(body.subarray(0, 5));
      request.write(body.subarray(5).toString('latin1'), 'latin1');
      request.end();
    } else {
      request.end(body);
    }
  });
}

(async () => {
  let pieces = false;
  for (const step of plan.requests()) {
    pieces = !pieces;
    plan.say(...(await post(step, pieces)));
  }
  for (const agent of Object.values(agents)) agent.destroy();
})();
